"""Router and modes as one process over many visitors and jobs: its memory does not grow with their number."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.security.attacker import Attacker
from tests.studio import ROOT

pytestmark = pytest.mark.slow
WARM, MANY = 25, 60
GROWTH = 36_000_000
"""Bytes over those that come after: an event list or a client kept per job or page would be more."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tests.router.fleet_server", str(port), "--router", "--pause", "0"]
    process = subprocess.Popen(
        [*command, "--modes", "t2v"], cwd=ROOT, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    )
    url = f"http://127.0.0.1:{port}/"
    try:
        end = time.monotonic() + 120
        while True:
            try:
                if httpx.get(url, timeout=10).status_code == 200:
                    break
            except httpx.TransportError:
                assert process.poll() is None and time.monotonic() < end
                time.sleep(0.3)
        yield url, process.pid
    finally:
        process.kill()
        process.wait(10)


def memory(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


class Visitor(Attacker):
    """Opens the page as a browser does, and clicks Generate in Text to Video."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.wiring = self.config()
        self.parts = {part["id"]: part for part in self.wiring["components"]}

    def open(self) -> None:
        session = secrets.token_hex(6)
        assert self.http.get(self.url).status_code == 200
        begun: set[int] = set()
        for dependency in self.wiring["dependencies"]:
            loads = any(event == "load" for _, event in dependency["targets"])
            if not (loads or dependency["trigger_after"] in begun) or not dependency["backend_fn"]:
                continue
            begun.add(dependency["id"])
            data = [self.parts[i]["props"].get("value") for i in dependency["inputs"]]
            body = {"fn_index": dependency["id"], "data": data, "session_hash": session}
            assert self.http.post(f"{self.url}gradio_api/run/predict", json=body).status_code == 200
        assert len(begun) >= 3, "a page asks for what it kept, for what is up, and for its menus"

    def generate(self, prompt: str) -> str:
        for dependency in self.wiring["dependencies"]:
            kinds = [self.parts[i]["type"] for i in dependency["outputs"]]
            if dependency["queue"] is not False and dependency["backend_fn"] and kinds[:1] == ["video"]:
                inputs = [self.parts[i] for i in dependency["inputs"]]
                data: list[Any] = [part["props"].get("value") for part in inputs]
                words = [
                    i
                    for i, part in enumerate(inputs)
                    if "prompt" in (part["props"].get("elem_classes") or [])
                ]
                data[words[0]] = prompt
                return self.call(dependency["id"], data)
        raise AssertionError("no Generate")


def test_memory_is_flat_over_many_jobs_and_as_many_sessions(server: tuple[str, int]) -> None:
    url, pid = server
    visitor = Visitor(url)

    def day(count: int) -> None:
        for number in range(count):
            visitor.open()
            assert ".mp4" in visitor.generate(f"job {number}")

    day(WARM)
    before = memory(pid)
    threads = len(list(Path(f"/proc/{pid}/task").iterdir()))
    day(MANY)
    grown = memory(pid) - before
    assert grown < GROWTH, f"{grown / 1e6:.0f} MB more after {MANY} jobs and sessions"
    assert len(list(Path(f"/proc/{pid}/task").iterdir())) < threads + 20, "threads are left over"
