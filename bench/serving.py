"""Starts a Studio in a process of its own and reads its memory; ends it by pid."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

START_SECONDS = 180


@dataclass(frozen=True)
class Running:
    """A Studio at work: its address, its process, and how long the page took to appear."""

    url: str
    pid: int
    seconds_to_page: float

    def memory_mb(self) -> float:
        """Resident memory, in MB, by the kernel's count."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")


@contextmanager
def studio(*modes: str) -> Iterator[Running]:
    """A Studio with these modes (all when none are named), from the command to the page and back down."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "cli", "studio", "--port", str(port)]
    if modes:
        command += ["--only", *modes]
    begin = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ}
    )
    try:
        url = f"http://127.0.0.1:{port}/"
        while True:
            try:
                if httpx.get(url, timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            if process.poll() is not None or time.monotonic() - begin > START_SECONDS:
                raise RuntimeError("the Studio did not start")
            time.sleep(0.05)
        yield Running(url, process.pid, time.monotonic() - begin)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
