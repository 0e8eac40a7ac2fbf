"""Hundreds of odd calls to every endpoint of every app: all answered in words or with a result, no traceback."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.modes.all import MODES
from tests.fuzz import nasty
from tests.security.attacker import Attacker
from tests.spaces import media_for_modes as material
from tests.studio import ROOT

pytestmark = pytest.mark.slow
SEED = 20261125
CASES_A_MODE = 60
BROKEN = ("Traceback (most recent call last)", "Exception in ASGI application", "unexpected, shown as")


@dataclass
class Fleet:
    """Five modes with a pretended engine and the Studio over them, in a process whose log is read at the end."""

    base: str
    log: Path
    process: subprocess.Popen[bytes]
    real: list[str]

    seen: int = 0

    def fresh(self) -> str:
        """What was logged since the last look."""
        text = self.log.read_text(errors="replace")
        new, self.seen = text[self.seen :], len(text)
        return new


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    import socket

    folder = tmp_path_factory.mktemp("fuzz")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    command = [
        sys.executable,
        "-m",
        "tests.router.fleet_server",
        str(port),
        "--router",
        "--pause",
        "0",
        "--modes",
        *MODES,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env={**os.environ, "GRADIO_TEMP_DIR": str(folder / "cache")},
        )
    base = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 240
        while True:
            try:
                if httpx.get(f"{base}/", timeout=10).status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < end, log.read_text()
                time.sleep(0.3)
        attacker = Attacker(f"{base}/i2v/")
        made = [material.picture(folder / "a.png")["path"], material.clip(folder / "c.mp4")["path"]]
        yield Fleet(base, log, process, [attacker.upload(Path(path)) for path in made])
    finally:
        process.kill()
        process.wait(10)


def seemly(fleet: Fleet, reply: httpx.Response, case: object, *, log: bool = True) -> None:
    """A refusal in words, or a result; never an inside of ours, never without end.

    With `log`, nothing unexpected may have happened behind it either: the contract's own endpoints foresee it all.
    """
    text = reply.text
    assert len(text) < 300_000, case
    assert "Traceback" not in text and "site-packages" not in text and str(ROOT) not in text, (
        case,
        text[:2000],
    )
    if reply.status_code >= 500:
        assert "error" in reply.json(), (case, text[:500])
    new = fleet.fresh()
    assert not (log and any(word in new for word in BROKEN)), (case, text[:500], new[-3000:])


def sent(case: Any) -> bytes:
    """JSON as a program writes it: half characters as escapes, NaN and infinity as they are."""
    return json.dumps(case).encode()


@pytest.mark.parametrize("mode", MODES)
def test_named_calls(fleet: Fleet, mode: str) -> None:
    rng, http = random.Random(f"{SEED}-{mode}"), httpx.Client(timeout=60)
    url = f"{fleet.base}/{mode}/gradio_api"
    fields = MODES[mode].request_type.model_fields  # type: ignore[index]
    for number in range(CASES_A_MODE):
        values: dict[str, Any] = {"prompt": "a", "num_inference_steps": 1, "num_frames": 1}
        for slot in MODES[mode].slots:  # type: ignore[index]
            if slot.required or rng.random() < 0.3:
                handle = {"path": fleet.real[0], "meta": {"_type": "gradio.FileData"}}
                values[slot.name] = [handle] if slot.many else handle
        for name in rng.sample(list(fields), rng.choice([0, 1, 1, 2, 4])):
            values[name] = nasty.value(rng, fleet.real)
        endpoint = rng.choice(["plan", "plan", "generate", *(["prepare"] if mode == "vace" else [])])
        started = http.post(
            f"{url}/call/v2/{endpoint}", content=sent(values), headers={"content-type": "application/json"}
        )
        seemly(fleet, started, (mode, number, values))
        if started.status_code != 200 or "event_id" not in started.text:
            continue
        answer = http.get(f"{url}/call/{endpoint}/{started.json()['event_id']}")
        seemly(fleet, answer, (mode, number, values))
        assert "event: complete" in answer.text or "event: error" in answer.text, (values, answer.text[:500])
        if endpoint == "plan" and "event: complete" in answer.text:
            plan = json.loads(answer.text.split("data: ")[-1])[0]
            for name, asked in values.items():
                if name in plan and asked not in (None, "", -1) and name not in ("preset", "checkpoint"):
                    kept = plan[name]
                    same = float(kept) == float(asked) if isinstance(kept, int | float) else kept == asked
                    assert same, ("a silent change", name, asked, kept)


@pytest.mark.parametrize("page", [*MODES, ""])
def test_events_of_the_pages(fleet: Fleet, page: str) -> None:
    rng = random.Random(f"{SEED}-page-{page}")
    attacker = Attacker(f"{fleet.base}/{page}/" if page else f"{fleet.base}/")
    config = attacker.config()
    parts = {part["id"]: part for part in config["components"]}
    for dependency in config["dependencies"]:
        if not dependency["backend_fn"]:
            continue
        data = [parts[i]["props"].get("value") for i in dependency["inputs"]]
        for index in range(len(data)):
            if rng.random() < 0.5:
                data[index] = nasty.value(rng, fleet.real)
        if rng.random() < 0.1:
            data = rng.choice([[], data * 2, [{}] * 50])
        session, waits = f"s{rng.random()}", dependency["queue"] is not False
        body = {"fn_index": dependency["id"], "data": data, "session_hash": session}
        reply = attacker.http.post(
            f"{attacker.url}gradio_api/{'queue/join' if waits else 'run/predict'}",
            content=sent(body),
            headers={"content-type": "application/json"},
        )
        if waits and reply.status_code == 200:
            reply = httpx.Response(200, text=attacker._listen(session))
        ours = not str(dependency["api_name"]).startswith("load_example")  # Gradio's own, which fails on None
        seemly(fleet, reply, (page, dependency["id"], dependency["api_name"], data), log=ours)


def test_uploads_and_files(fleet: Fleet) -> None:
    http, url = httpx.Client(timeout=60), f"{fleet.base}/i2v/gradio_api"
    for name in ("a.png", "../../x", "a" * 300, "\u202e.png", ".", "", "a/b\\c", "x.svg"):
        seemly(fleet, http.post(f"{url}/upload", files={"files": (name, b"x")}), name)
    for body in (b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", sent({"data": None}), sent({"data": {}})):
        for route in (
            "upload",
            "run/manifest",
            "run/plan",
            "call/generate",
            "call/v2/generate",
            "queue/join",
            "cancel",
            "reset",
        ):
            reply = http.post(f"{url}/{route}", content=body, headers={"content-type": "application/json"})
            seemly(fleet, reply, (route, body))
    for path in ("/etc/passwd", "", "%00", "..%2f..%2fetc%2fpasswd", "x" * 5000, "http://127.0.0.1:9/"):
        reply = http.get(f"{url}/file={path}")
        seemly(fleet, reply, path)
        assert reply.status_code != 200
    for body in (
        b"{",
        b"[]",
        sent({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x" * 9999}}),
    ):
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        reply = http.post(f"{fleet.base}/i2v/gradio_api/mcp/", content=body, headers=headers)
        assert "Traceback" not in reply.text


def test_everybody_still_answers(fleet: Fleet) -> None:
    for mode in MODES:
        reply = httpx.post(f"{fleet.base}/{mode}/gradio_api/run/manifest", json={"data": []}, timeout=30)
        assert reply.json()["data"][0]["mode"] == mode
    assert httpx.get(f"{fleet.base}/", timeout=30).status_code == 200
