"""Nobody reads a file that is not theirs: by any event of any page, any named call, or another's host name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.modes.all import MODES
from tests.security.attacker import META, Attacker
from tests.security.conftest import House

pytestmark = pytest.mark.slow


def disguises(path: str) -> list[Any]:
    """A path of the server as an attacker would write it."""
    return [
        {"path": path, **META},
        {"path": path},
        {"path": path, "url": f"file://{path}", **META},
        {"path": f"file://{path}", **META},
        {"path": f"/tmp/../{path}", **META},
        {"url": path, **META},
        {"path": None, "url": path, **META},
        path,
    ]


def some(path: str, number: int) -> list[Any]:
    """Two of the disguises, others for each number: all of them are tried over four."""
    every = disguises(path)
    return [every[(2 * number + more) % len(every)] for more in range(2)]


def as_value(kind: str, handle: Any) -> Any:
    """A handle as the component of that kind is sent it."""
    if kind == "gallery":
        return [{"image": handle, "caption": None}]
    if kind == "imageeditor":
        return {"background": handle, "layers": [handle], "composite": handle, "id": None}
    return handle


def test_no_event_of_a_page_opens_a_path_of_the_server(house: House) -> None:
    content, tried = house.secret.read_bytes(), 0
    for url in house.apps:
        attacker = Attacker(url)
        for turn, (number, files, inputs) in enumerate(attacker.events_with_files()):
            for handle in some(str(house.secret), turn):
                data = [part["props"].get("value") for part in inputs]
                for index in files:
                    data[index] = as_value(inputs[index]["type"], handle)
                answer = attacker.call(number, data)
                tried += 1
                assert content.decode() not in answer
                for served in attacker.served(answer):
                    assert served != content, (url, number, handle)
    assert tried >= 8, "no event was tried"


@pytest.mark.parametrize("name", ["generate", "prepare"])
def test_no_named_call_opens_a_path_of_the_server(house: House, name: str) -> None:
    tried = 0
    for key, url in house.modes.items():
        attacker = Attacker(url)
        endpoints = attacker.http.get(f"{url}gradio_api/info").json()["named_endpoints"]
        if f"/{name}" not in endpoints:
            continue
        slots = [slot for slot in MODES[key].slots if not slot.many]  # type: ignore[index]
        if not slots:
            continue
        others = ("/etc/passwd", "/proc/self/environ", str(Path(__file__)))
        handles = disguises(str(house.secret)) + [h for n, path in enumerate(others) for h in some(path, n)]
        for handle in handles:
            given = {slot.name: handle for slot in slots}
            answer = attacker.named(name, prompt="a", num_inference_steps=1, **given)
            tried += 1
            assert "must be an upload or a result of this Studio" in answer, (key, handle, answer)
    assert tried or name == "prepare"


def test_the_file_route_serves_the_cache_alone(house: House) -> None:
    for url in house.apps:
        for path in (
            str(house.secret),
            "/etc/passwd",
            "/proc/self/environ",
            "bundle.json",
            "app.py",
            "../../x",
        ):
            reply = httpx.get(f"{url}gradio_api/file={path}")
            assert reply.status_code in (403, 404), (url, path, reply.status_code)


@pytest.mark.parametrize("header", ["host", "x-forwarded-host", "origin"])
def test_a_page_of_another_site_cannot_use_a_browser_to_get_in(house: House, header: str) -> None:
    value = "https://evil.example" if header == "origin" else "evil.example:7860"
    for url in house.apps:
        for path in ("config", "gradio_api/info", "manifest.json"):
            reply = httpx.get(url + path, headers={header: value})
            assert reply.status_code == 403 and "WAN_HOSTS" in reply.text
        reply = httpx.post(f"{url}gradio_api/run/manifest", json={"data": []}, headers={header: value})
        assert reply.status_code == 403
        assert httpx.get(url + "config", headers={"origin": url.rstrip("/")}).status_code == 200


def test_a_body_without_end_is_not_read(house: House) -> None:
    url = next(iter(house.modes.values()))

    def endless() -> Any:
        for _ in range(200):  # 200 MB, were it read
            yield b" " * 1_000_000

    reply = httpx.post(f"{url}gradio_api/run/manifest", content=endless(), timeout=60)
    assert reply.status_code == 413
    declared = httpx.post(f"{url}gradio_api/run/manifest", content=b" " * 90_000_000, timeout=60)
    assert declared.status_code == 413 and "must be at most 80 MB" in declared.text
    assert httpx.get(url + "config").status_code == 200


def dropped(attacker: Attacker, uploaded: str) -> str:
    """What the page answers to a file that is dropped to be restored."""
    (event,) = [e for e in attacker.events_with_files() if e[2][0]["props"].get("elem_id") == "restore"]
    number, _, inputs = event
    rest = [part["props"].get("value") for part in inputs[1:]]
    return attacker.call(number, [{"path": uploaded, **META}, *rest])


def test_a_restored_file_brings_no_path_and_no_update(studio_house: House, tmp_path: Path) -> None:
    from common.contract import Lineage
    from tests.common.fakes import clip

    assert studio_house.router
    content = studio_house.secret.read_bytes()
    mode = MODES["i2v"]
    plan = mode.plan(mode.parse({"prompt": "a", "image": {"path": "x.png"}, "seed": 1}))
    handle = {"path": str(studio_house.secret), **META}
    request = {
        "prompt": "restored all the same", "image": handle, "image_picture": handle, "image_clip": handle,
        "image_source": {"__type__": "update", "label": "relabelled"}, "randomize": {"__type__": "update"},
        "checkpoint": {"__type__": "update", "label": "relabelled", "choices": [["x", "x"]]},
    }  # fmt: skip
    lineage = Lineage(request=request, plan=plan, seed=1, versions={}, git_sha="", created="")
    file = tmp_path / "gift.mp4"
    clip(file, 64, 64, 5, 16, comment=lineage.model_dump_json())
    attacker = Attacker(studio_house.router)
    answer = dropped(attacker, attacker.upload(file))
    assert "restored all the same" in answer
    assert (
        "relabelled" not in answer
        and content.decode() not in answer
        and str(studio_house.secret) not in answer
    )
    assert all(served != content for served in attacker.served(answer))


def test_a_restored_file_that_breaks_a_rule_is_refused(studio_house: House, tmp_path: Path) -> None:
    from common.contract import Lineage
    from tests.common.fakes import clip

    assert studio_house.router
    mode = MODES["t2v"]
    plan = mode.plan(mode.parse({"prompt": "a", "seed": 1})).model_copy(update={"num_inference_steps": 10**9})
    lineage = Lineage(request={"prompt": "a"}, plan=plan, seed=1, versions={}, git_sha="", created="")
    file = tmp_path / "gift.mp4"
    clip(file, 64, 64, 5, 16, comment=lineage.model_dump_json())
    attacker = Attacker(studio_house.router)
    answer = json.dumps(dropped(attacker, attacker.upload(file)))
    assert "num_inference_steps must be between 1 and 50" in answer
