"""Two visitors of one hosted Studio: whatever one has made or brought, the other cannot give to any event."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from common.run.runner import VISITOR
from tests.fleet import end, free_port, start
from tests.security.attacker import FILE_TYPES, META, Page, paths
from tests.security.conftest import ROOT, free_ports
from tests.security.test_files_of_others import as_value

pytestmark = pytest.mark.slow

GONE = "has expired here"
REFUSED = (GONE, "must be an upload or a result of this Studio")
WORDS = "a red circle that nobody else may see"
JOB = "10000000-0000-4000-8000-000000000000"
PICTURE, CLIP = (ROOT / "common/examples" / name for name in ("red-circle.png", "red-circle.mp4"))
FILE = re.compile(r"gradio_api/file=([^\"\\?&]+)")


@dataclass
class Owned:
    """What a visitor has by now: name to path or URL. Her page, and what the mode's Space serves at all."""

    page: Page
    files: dict[str, str]


def owned(url: str, *, prepare: bool) -> Owned:
    """A result, uploads, and where there is one a prepared control and what the Gallery lends and exports."""
    page = Page(url, secrets.token_hex(16))
    page.http.timeout = httpx.Timeout(300)
    files = {"picture": page.upload(PICTURE), "clip": page.upload(CLIP)}
    files["result"] = next(path for path in paths(page.generate(WORDS, JOB)) if path.endswith(".mp4"))
    if prepare:
        files["control"], files["mask"] = prepared(page, files["clip"])
    grid = page.call(gallery(page, "load")["id"], [page.secret, ""])
    if lent := FILE.search(grid):
        files["loan"] = lent[1]
        key = re.search(r'data-key=\\"([0-9a-f]{64})', grid)
        assert key
        made = ask(page, gallery(page, "download"), {"key": key[1], "kind": "last"})
        found = FILE.search(made)
        assert found, made[-2000:]
        files["export"] = found[1]
    return Owned(page, files)


def gallery(page: Page, name: str) -> dict[str, Any]:
    """One of the events of the Gallery: those that are asked with the visitor's secret and the browser's list."""
    return next(
        e for e in page.events
        if page.kinds(e["inputs"])[:2] == ["textbox", "browserstate"] and any(n == name for _, n in e["targets"])
    )  # fmt: skip


def ask(page: Page, event: dict[str, Any], said: dict[str, Any], kept: str = "") -> str:
    data = page.values(event)
    data[:2] = [page.secret, kept]
    return page.call(event["id"], data, said)


def prepared(page: Page, clip: str) -> list[str]:
    """The control video and mask that VACE makes of a clip."""
    event = next(e for e in page.events if page.kinds(e["outputs"])[2:] == ["video", "video"])
    data = ["gray" if value == "inpainting_mask" else value for value in page.values(event)]
    source = next(i for i in event["inputs"] if page.parts[i]["props"].get("elem_id") == "vace-source")
    data[event["inputs"].index(source)] = {"path": clip, **META}
    answer = page.call(event["id"], data)
    return [path for path in paths(answer) if path.endswith(".mp4")][-2:]


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """The bundles of the demo federation as `deploy local` runs them, each a process; a disk keeps the Gallery."""
    from deploy import federation, targets
    from deploy.local import LocalFederation, demo

    folder = tmp_path_factory.mktemp("apart")
    every = targets.resolve(federation.load(profile="demo"), "ada", ROOT)
    found = demo([t for t in every if t.is_router or t.mode in ("t2v", "vace")])
    running = LocalFederation(
        found, folder, free_ports(len(found)), say=lambda text: None, env={"WAN_STATE": str(folder / "state")}
    )
    try:
        running.start(240)
        yield owned(running.url(next(t.name for t in found if t.is_router)) + "/", prepare=True)
    finally:
        running.stop()


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """Modes and Studio in one process, as the launcher serves a whole network; browsers keep the Gallery."""
    port, folder = free_port(), tmp_path_factory.mktemp("mounted")
    arguments = ("--modes", "t2v", "i2v", "--router", "--pause", "0")
    server = start(port, *arguments, env={"GRADIO_TEMP_DIR": str(folder), "WAN_STATE": ""})
    yield owned(f"http://127.0.0.1:{port}/", prepare=False)
    end(server)


@pytest.fixture(params=["apart", "mounted"])
def victim(request: pytest.FixtureRequest) -> Owned:
    return request.getfixturevalue(request.param)


def spelled(path: str, url: str) -> list[dict[str, Any]]:
    """A file as its owner's page sends it, and as somebody might who wants it taken for another."""
    name = urlsplit(path).path.partition("file=")[2] if path.startswith("http") else path
    base = path.removesuffix(name) if path.startswith("http") else f"{url}gradio_api/file="
    folder, _, file = name.rpartition("/")
    names = [
        name, quote(name), quote(name, safe=""), f"{folder}/./{file}", f"{folder}/x/../{file}", f"/{name}",
        f"{folder}//{file}", f"/private/..{name}", "".join(f"%{ord(c):02x}" for c in name), f"{name}?x=1",
        f"{name}#t=1", f"../../../../../../..{name}", f"/proc/self/root{name}",
    ]  # fmt: skip
    every = [base + spelling for spelling in names]
    if not path.startswith("http"):
        every += [path, f"{folder}/./{file}", f"{folder}/../{folder.rpartition('/')[2]}/{file}", f"/{path}"]
    return [
        *({"path": one, **META} for one in every),
        {"path": None, "url": every[0], **META},
        {"path": path, "url": f"{url}gradio_api/file=/x", "orig_name": "mine.mp4", **META},
    ]


def test_no_event_takes_a_file_of_somebody_else(victim: Owned) -> None:
    """Two files in a spelling each at every event that takes any; over a few events all are tried."""
    url, tried = victim.page.url, 0
    stranger, nobody = Page(url, secrets.token_hex(16)), Page(url, "")
    names = list(victim.files)
    for turn, (number, files, inputs) in enumerate(stranger.events_with_files()):
        for name in {names[turn % len(names)], names[(turn + 2) % len(names)]}:
            path = victim.files[name]
            every = spelled(path, url)
            handle = every[(turn + tried) % len(every)]
            page = (stranger, stranger, nobody)[tried % 3]
            for index in {files[0], files[turn % len(files)]}:
                data = [part["props"].get("value") for part in inputs]
                data[index] = as_value(inputs[index]["type"], handle)
                answer = page.call(number, data)
                tried += 1
                assert any(words in answer for words in REFUSED), (number, name, handle, answer[:1500])
                assert WORDS not in answer and Path(path).name not in answer
    assert tried > 150


def test_every_spelling_of_a_file_is_that_file(victim: Owned) -> None:
    stranger = Page(victim.page.url, secrets.token_hex(16))
    number = plain(stranger, "video")
    for path in victim.files.values():
        for handle in spelled(path, stranger.url):
            answer = stranger.call(number, [handle])
            assert any(words in answer for words in REFUSED), (handle, answer)


def plain(page: Page, kind: str) -> int:
    """An event that looks at one file of this kind and does no more."""
    return next(number for number, _, inputs in page.events_with_files() if [i["type"] for i in inputs] == [kind])


def test_their_owner_gives_them_to_any_event(victim: Owned) -> None:
    page, tried = victim.page, 0
    light = [
        (number, inputs) for number, _, inputs in page.events_with_files()
        if all(part["type"] in FILE_TYPES for part in inputs) or number in sends(page)
    ]  # fmt: skip
    for number, inputs in light:
        for name, path in victim.files.items():
            kind = inputs[0]["type"]
            if path.endswith(".png") != (kind in ("image", "imageeditor")):
                continue
            data = [part["props"].get("value") for part in inputs]
            data[0] = as_value(kind, {"path": path, **META})
            answer = page.call(number, data, {"value": "i2v-from"})
            tried += 1
            assert not any(words in answer for words in REFUSED), (number, name, answer[:1500])
    assert tried >= 10


def sends(page: Page) -> set[int]:
    """The event of Send to, which is given every panel's video."""
    return {n for n, _, inputs in page.events_with_files() if [i["type"] for i in inputs[:3]] == ["video"] * 3}


def test_a_list_of_the_gallery_that_names_a_file_of_somebody_else_shows_nothing(victim: Owned) -> None:
    """Each spelling with one of the Gallery's events: over a few files all of them with all."""
    stranger = Page(victim.page.url, secrets.token_hex(16))
    key, turn = "f" * 64, 0
    said = {"key": key, "keys": [key, key], "kind": "sheet", "meaning": 0, "head": 0, "act": "favourite"}
    for path in victim.files.values():
        for handle in spelled(path, stranger.url):
            video = {"path": handle["path"] or handle["url"], "sha256": key}
            kept = json.dumps([{"mode": "t2v", "video": video}])
            # What is looked at alone is no file to the Studio: the browser asks for the address that it has said.
            looked = () if video["path"].startswith(stranger.url) else ("select", "expand", "like")
            names = ("copy", "download", "submit", *looked)
            turn += 1
            answer = ask(stranger, gallery(stranger, names[turn % len(names)]), said, kept)
            assert Path(path).name not in answer, (names[turn % len(names)], handle, answer[:1500])


def test_an_upload_of_the_same_content_is_its_bringers_too(victim: Owned) -> None:
    stranger, nobody = Page(victim.page.url, secrets.token_hex(16)), Page(victim.page.url, "")
    number = plain(stranger, "image")
    handle = {"path": victim.files["picture"], **META}
    assert GONE in stranger.call(number, [handle])
    assert stranger.upload(PICTURE) == victim.files["picture"]
    assert GONE not in stranger.call(number, [handle])
    assert GONE not in victim.page.call(number, [handle])
    assert GONE in nobody.call(number, [handle])


def test_what_was_brought_without_a_secret_is_had_by_its_name(victim: Owned, tmp_path: Path) -> None:
    """A program that shows none, or a browser whose requests are stripped of it, is not locked out."""
    nobody, stranger = Page(victim.page.url, ""), Page(victim.page.url, secrets.token_hex(16))
    picture = tmp_path / "mine.png"
    picture.write_bytes(PICTURE.read_bytes() + secrets.token_bytes(8))
    handle = {"path": nobody.upload(picture), **META}
    for page in (nobody, stranger):
        assert GONE not in page.call(plain(page, "image"), [handle])


@pytest.mark.parametrize("secret", ["x", "A" * 32, "0" * 31, "../" * 8])
def test_a_secret_that_no_page_draws_is_refused(victim: Owned, secret: str) -> None:
    page = Page(victim.page.url, "")
    page.http.headers[VISITOR] = secret
    handle = {"path": victim.files["picture"], **META}
    assert "must be 32 digits and letters" in page.call(plain(page, "image"), [handle])


def test_no_name_can_be_guessed_or_listed(victim: Owned) -> None:
    """The file route asks nobody who they are: a name is all it takes. So it has to be one that nobody finds."""
    page, (first, second) = victim.page, (victim.files["result"], again(victim.page))
    for path in victim.files.values():
        name = urlsplit(path).path.rpartition("file=")[2]
        parts = Path(name).parts
        if victim.page.http.get(f"{page.url}gradio_api/file={path}").status_code == 200:
            assert any(re.fullmatch(r"[0-9a-f]{32}|[0-9a-f]{64}", part) for part in parts) or "fleet" in parts
        for folder in (Path(name).parent, Path(name).parent.parent):
            for base in {page.url, path.partition("gradio_api")[0] or page.url}:
                if base.startswith("http"):
                    reply = httpx.get(f"{base}gradio_api/file={folder}")
                    assert reply.status_code in (403, 404), (folder, reply.text)
    if "fleet" not in first:
        assert Path(first).parent != Path(second).parent, "one job asked for twice, and two folders"


def again(page: Page) -> str:
    """The first job once more, with its seed."""
    return next(p for p in paths(page.generate(WORDS, JOB.replace("1", "2"))) if p.endswith(".mp4"))


def test_nothing_is_fetched_from_an_address_that_a_visitor_names(victim: Owned) -> None:
    """Neither by an event nor by Gradio's file route; the address would answer, and is on nobody's network."""
    page = Page(victim.page.url, secrets.token_hex(16))
    for url in ("https://example.org/a.png", "http://93.184.216.34/a.png", "HTTPS://huggingface.co/a.mp4"):
        answer = page.call(plain(page, "image"), [{"path": url, **META}])
        assert "must be an upload or a result of this Studio" in answer, url
        assert page.http.get(f"{page.url}gradio_api/file={url}").status_code == 403
