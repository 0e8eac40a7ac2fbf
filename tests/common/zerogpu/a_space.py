"""A mode Space as ZeroGPU would run it: real `spaces`, stand-in device API, worker on the CPU."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import httpx
import numpy as np
import pytest
from device_api import DeviceApi

ROOT = Path(__file__).parents[3]


class Space(NamedTuple):
    url: str
    api: DeviceApi
    pid: int
    packed: Path
    usual: Mapping[str, Any]

    def client(self) -> Any:
        from gradio_client import Client

        return Client(self.url, verbose=False)

    def submit(self, **values: Any) -> Any:
        return self.client().submit(**{**self.usual, **values}, api_name="/generate")


@contextmanager
def started(folder: Path, mode: str, usual: Mapping[str, Any], **more: str) -> Iterator[Space]:
    """A mode's Space with its own scheduler; its jobs ask for what is `usual`, `more` goes to its environment."""
    with DeviceApi() as api, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        env = {
            **os.environ,
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": api.url,
            "ZEROGPU_OFFLOAD_DIR": str(folder / "tensors"),
            "ZEROGPU_MMAP_AUTOPRUNE_PATTERN": str(folder / "nothing"),
            "GRADIO_TEMP_DIR": str(folder / "gradio"),
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "WAN_WEIGHTS": "nano",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            **more,
        }
        log = (folder / "log").open("w+")
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("space_on_cpu.py"), f"spaces/{mode}/app.py"],
            cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(960):
                if child.poll() is not None or (api.of("/startup-report") and _up(url)):
                    break
                time.sleep(0.25)
            if child.poll() is not None or not _up(url):
                log.seek(0)
                pytest.fail("the Space did not start:\n" + log.read()[-4000:])
            yield Space(url, api, child.pid, folder / "tensors", usual)
            log.seek(0)
            print(log.read()[-4000:])
        finally:
            with suppress(ProcessLookupError):  # it did not start
                os.killpg(child.pid, signal.SIGKILL)  # the forked GPU workers outlive their Space
            child.wait(20)
            log.close()


def _up(url: str) -> bool:
    try:
        return httpx.get(url + "/config", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def frames(result: Any) -> np.ndarray:
    video = result[0]
    path = video if isinstance(video, str) else video["path"]
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
