"""Every event of the Gallery's page, called by a program: with its own results, another's, and what is none."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import gradio as gr
import httpx
import pytest
from fastapi import FastAPI

from common import cache
from common.media.files import sha256
from common.modes.all import MODES
from router import shell
from router.app import build_studio
from router.dispatch import Studio
from router.federation import mounted
from router.gallery.disk import Disk
from tests.router.conftest import serve
from tests.router.gallery.made import PROMPT, lineage, video

MINE, OTHERS = "a" * 32, "b" * 32
SERVER = "file that only the server may read"


@dataclass
class House:
    """A hosted Studio with a disk, where two visitors have a result each; `mine` and `others` are their keys."""

    url: str
    disk: Disk
    studio: Studio
    mine: str
    others: str
    config: dict[str, Any]

    def event(self, name: str, target: str = "gallery-grid") -> dict[str, Any]:
        """The one event of that name of a part of the Gallery."""
        parts = {part["id"]: part["props"] for part in self.config["components"]}
        return next(
            d
            for d in self.config["dependencies"]
            if any(
                e == name and target in (*(parts[i].get("elem_classes") or []), parts[i].get("elem_id"))
                for i, e in d["targets"]
            )
        )

    def call(
        self, name: str, said: object, *, visitor: object = MINE, kept: object = "", first: tuple[object, ...] = (),
        target: str = "gallery-grid",
    ) -> str:  # fmt: skip
        """Everything that an event answers."""
        event = self.event(name, target)
        data = [*first, visitor, kept]
        data += [""] * (len(event["inputs"]) - len(data))
        session = secrets.token_hex(6)
        body = {"fn_index": event["id"], "data": data, "event_data": said, "session_hash": session}
        with httpx.Client(timeout=60) as http:
            if event["queue"] is False:
                return http.post(f"{self.url}gradio_api/run/predict", json=body).text
            joined = http.post(f"{self.url}gradio_api/queue/join", json=body)
            assert joined.status_code == 200, joined.text
            told = ""
            with http.stream("GET", f"{self.url}gradio_api/queue/data?session_hash={session}") as reply:
                for line in reply.iter_lines():
                    told += line + "\n"
                    if "process_completed" in line or "close_stream" in line:
                        return told
        return told

    def served(self, path: object) -> int:
        return httpx.get(f"{self.url}gradio_api/file={path}").status_code


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAN_STATE", str(folder / "state"))
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "cache"))
        studio = Studio.over(mounted("http://127.0.0.1:9", ["t2v"]))
        app = gr.mount_gradio_app(FastAPI(), build_studio(studio), path="/", **shell.page_options())
        server, thread, base = serve(app)
        disk = Disk(folder / "state")
        (folder / "state" / "jobs.sqlite").write_text(SERVER)
        keys: list[str] = []
        for secret, seed in ((MINE, 1), (OTHERS, 2)):
            made = lineage("i2v", seed=seed)
            keys.append(disk.keep(studio.owner(secret), video(folder, made), made))
        config = httpx.get(f"{base}/config").json()
        yield House(f"{base}/", disk, studio, keys[0], keys[1], config)
        server.should_exit = True
        thread.join(timeout=10)


ACTS: list[tuple[str, dict[str, Any]]] = [
    ("select", {}),
    ("like", {"act": "favourite"}),
    ("like", {"act": "delete"}),
    ("like", {"act": "undo"}),
    ("submit", {}),
    ("submit", {"into": "t2v"}),
    ("copy", {"meaning": 0}),
    ("download", {"kind": "gif"}),
    ("download", {"kind": "last"}),
]


@pytest.mark.parametrize(("name", "said"), ACTS)
def test_a_result_of_somebody_else_answers_as_one_that_does_not_exist(
    house: House, name: str, said: dict[str, Any]
) -> None:
    before = house.disk.shelf(house.studio.owner(OTHERS)).items()
    answers = [house.call(name, {**said, "key": key}) for key in (house.others, "f" * 64)]
    plain = [re.sub(r"data-turn=\W*\w+", "", text.split('"output":', 1)[-1]) for text in answers]
    plain = [re.split('"(average_)?duration"', text)[0] for text in plain]
    assert plain[0] == plain[1]
    assert house.others not in answers[0] and "seed" not in answers[0]
    assert house.disk.shelf(house.studio.owner(OTHERS)).items() == before


@pytest.mark.parametrize("name", ["select", "focus", "load"])
def test_a_list_holds_its_own_visitors_alone(house: House, name: str) -> None:
    if name == "load":
        event = next(
            d for d in house.config["dependencies"] if d["outputs"][1:2] == house.event("focus")["outputs"]
            and [e for _, e in d["targets"]] == ["load"]
        )  # fmt: skip
        body = {"fn_index": event["id"], "data": [MINE, ""], "session_hash": "x"}
        text = httpx.post(f"{house.url}gradio_api/run/predict", json=body).text
    else:
        text = house.call(name, {"key": house.mine})
    assert house.mine in text and house.others not in text


def test_two_of_which_one_is_another_visitors_are_not_compared(house: House) -> None:
    assert "transport" not in house.call("expand", {"keys": [house.mine, house.others]})
    assert "transport" in house.call("expand", {"keys": [house.mine, house.mine]})


@pytest.mark.parametrize("visitor", ["", None, "c" * 32])
def test_who_has_no_secret_or_a_new_one_has_nothing(house: House, visitor: object) -> None:
    text = house.call("focus", {}, visitor=visitor)
    assert "Nothing yet" in text and house.mine not in text
    assert "is not here" in house.call("select", {"key": house.mine}, visitor=visitor)


@pytest.mark.parametrize("visitor", ["../own", "A" * 32, 7, ["a"], {"a": 1}, "own", "a" * 64])
def test_a_secret_that_no_page_draws_opens_nothing(house: House, visitor: object) -> None:
    for name in ("focus", "select", "copy"):
        assert house.mine not in house.call(name, {"key": house.mine}, visitor=visitor)


@pytest.mark.parametrize(
    "said",
    [None, [], "x", 7, {}, {"key": None}, {"key": ["a"]}, {"key": {"a": 1}}, {"key": "../../index.sqlite"},
     {"key": "' OR 1=1 --"}, {"key": "x", "act": "drop"}, {"keys": "x"}, {"keys": [{"a": 1}, ["b"]]}],
)  # fmt: skip
@pytest.mark.parametrize("name", ["select", "expand", "like", "submit", "copy", "download"])
def test_nonsense_is_refused_or_nothing(house: House, name: str, said: object) -> None:
    text = house.call(name, said)
    assert house.mine not in text and "Traceback" not in text and "Internal Server Error" not in text


@pytest.mark.parametrize("meaning", [None, -1, 999, "0", 1.5, 10**30, [0]])
def test_a_meaning_is_one_of_the_list(house: House, meaning: object) -> None:
    assert "must be one of the list" in house.call("copy", {"key": house.mine, "meaning": meaning})


@pytest.mark.parametrize("head", [None, -1, 1e300, "3", 10**400, [1]])
def test_a_playhead_is_a_time(house: House, head: object) -> None:
    text = house.call("copy", {"key": house.mine, "meaning": 0, "head": head})
    assert '"success": true' in text or '"success":true' in text


def test_what_is_sent_on_is_a_file_of_the_cache_and_not_of_the_state(house: House) -> None:
    text = house.call("copy", {"key": house.mine, "meaning": 0, "head": 0.25})
    found = re.search(r'"path": ?"([^"]+)"', text)
    assert found
    path = found[1]
    assert Path(path).is_relative_to(cache.root()) and sha256(Path(path)) == house.mine
    assert house.served(path) == 200


def test_nothing_of_the_state_is_served_or_named(house: House) -> None:
    state = house.disk.folder.parent
    files = [f for f in state.rglob("*") if f.is_file()]
    assert len(files) >= 4
    for file in files:
        assert house.served(file) == 403
        handle = {"path": str(file), "meta": {"_type": "gradio.FileData"}}
        text = house.call("upload", None, first=([handle],), target="gallery-import")
        assert "must be an upload or a result" in text


def test_a_browsers_own_list_opens_no_path(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no disk, the list comes from the browser, or from a program that plays one."""
    from router.gallery.page import GalleryPage

    with gr.Blocks():
        page = GalleryPage(house.studio, gr.Textbox(), gr.BrowserState(""), None)
    for path in (
        "/etc/passwd",
        str(house.disk.folder / "index.sqlite"),
        "http://169.254.169.254/",
        "file:///etc/passwd",
    ):
        kept = json.dumps([{"mode": "t2v", "video": {"path": path}}])
        (item,) = page.shelf("", kept).items()
        with pytest.raises(Exception, match=r"must be an upload or a result|lies in no place"):
            page._handle(page.shelf("", kept), item)


def test_exports_are_files_of_the_cache_under_names_to_read(house: House) -> None:
    for kind, ending in (("gif", "-1.gif"), ("last", "-1-last-frame.png"), ("sheet", "-1-sheet.png")):
        text = house.call("download", {"key": house.mine, "kind": kind})
        done = text[text.index('{"msg":"process_completed"') :].splitlines()[0]
        made = json.loads(json.loads(done)["output"]["data"][0])
        assert made["name"] == f"i2v-a-b-red-b-circle{ending}"
        assert httpx.get(house.url + made["href"]).status_code == 200
        again = house.call("download", {"key": house.mine, "kind": kind})
        assert made["href"].replace('"', "") in again, "made twice"
    assert "must be one of" in house.call("download", {"key": house.mine, "kind": "exe"})


def test_favourite_delete_and_undo(house: House) -> None:
    shelf = house.disk.shelf(house.studio.owner(MINE))
    house.call("like", {"act": "favourite", "key": house.mine})
    assert shelf.items()[0].favourite
    text = house.call("like", {"act": "delete", "key": house.mine, "open": house.mine})
    assert shelf.items()[0].deleted and "Undo" in text
    assert "is not here" in house.call("select", {"key": house.mine})
    house.call("like", {"act": "undo", "key": house.mine})
    assert not shelf.items()[0].deleted and shelf.items()[0].favourite
    house.call("like", {"act": "favourite", "key": house.mine})
    assert not shelf.items()[0].favourite


def test_a_result_goes_back_into_its_panel_and_its_words_into_another(house: House) -> None:
    prompt = json.dumps(PROMPT)[1:-1]
    text = house.call("submit", {"key": house.mine})
    assert prompt in text and '"i2v"' in text
    text = house.call("submit", {"key": house.mine, "into": "animate"})
    assert prompt in text and '"animate"' in text
    assert "does not have" in house.call("submit", {"key": house.mine, "into": "t9v"})


def test_a_model_that_no_place_carries_is_said(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from router.dispatch import FederatedRunner, assumed

    less = assumed(MODES["i2v"])
    keep = [info for info in less.checkpoints if info.key != lineage("i2v").plan.checkpoint]
    monkeypatch.setattr(
        FederatedRunner, "known", lambda self, key=None: less.model_copy(update={"checkpoints": keep})
    )
    assert "which no place of this Studio carries" in house.call("submit", {"key": house.mine})


def remux(source: Path, target: Path) -> None:
    """The same clip with its index first, as our own files have it: what is cut off then is pictures alone."""
    with av.open(str(source)) as clip, av.open(str(target), "w", options={"movflags": "+faststart"}) as out:
        out.metadata.update(clip.metadata)
        stream = out.add_stream_from_template(clip.streams.video[0])
        for packet in clip.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                out.mux(packet)


def test_import_takes_ours_and_names_the_others(house: House, tmp_path: Path) -> None:
    ours, strange = video(tmp_path, lineage(seed=31), "from a friend.mp4"), tmp_path / "<b>holiday.mp4"
    video(tmp_path, lineage(seed=32), "x.mp4")
    strange.write_text("no video")
    half = tmp_path / "half.mp4"
    whole = video(tmp_path, lineage(seed=33), "whole.mp4")
    remux(whole, half)
    half.write_bytes(half.read_bytes()[: half.read_bytes().index(b"mdat") + 20])
    handles = []
    for path in (ours, strange, half):
        with path.open("rb") as file:
            put = httpx.post(f"{house.url}gradio_api/upload", files={"files": (path.name, file)}).json()[0]
        handles.append({"path": put, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}})
    secret = "d" * 32
    text = house.call("upload", None, visitor=secret, first=(handles,), target="gallery-import")
    assert "1 added" in text and "holiday.mp4" in text and "Not made by Wan Studio" in text
    assert "half.mp4 (cut short)" in text
    (item,) = house.disk.shelf(house.studio.owner(secret)).items()
    assert item.key == sha256(ours)
    many = house.call("upload", None, visitor=secret, first=([handles[0]] * 30,), target="gallery-import")
    assert "6 more than the 24" in many
