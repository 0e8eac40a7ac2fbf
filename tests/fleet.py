"""Modes with a pretended engine and the Studio over them, in a process of their own, for tests in a browser."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(port: int, *args: str, env: dict[str, str] | None = None) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.router.fleet_server", str(port), *args]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})})
    end = time.monotonic() + 90
    while True:
        try:
            if httpx.get(
                f"http://127.0.0.1:{port}/{'t2v/' if '--modes' in args else ''}", timeout=5
            ).is_success:
                return process
        except httpx.TransportError:
            pass
        assert process.poll() is None and time.monotonic() < end, "the fleet did not start"
        time.sleep(0.2)


def end(process: subprocess.Popen) -> None:
    process.kill()
    process.wait(10)
