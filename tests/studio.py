"""A Studio in a process of its own, as `wan-studio studio` starts it, for tests over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]


@contextmanager
def running(folder: Path, *modes: str) -> Iterator[str]:
    """The address of a Studio with these modes, up and answering."""
    with process(folder, *modes) as (address, _):
        yield address


@contextmanager
def process(folder: Path, *modes: str, **env: str) -> Iterator[tuple[str, int]]:
    """The same with its process id, and with variables of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder / "studio.log").open("w+")
    server = subprocess.Popen(
        [sys.executable, "-m", "cli", "studio", "--only", *modes, "--port", str(port)],
        cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
        env={
            **os.environ, "GRADIO_TEMP_DIR": str(folder / "gradio"), "WAN_STATE": str(folder / "state"), **env,
        },
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            assert server.poll() is None, (folder / "studio.log").read_text()
            try:
                if httpx.get(f"{address}/{modes[-1]}/", timeout=5).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.5)
        yield address, server.pid
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
