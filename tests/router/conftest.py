"""A federation of real Space apps on loopback, with an engine that only pretends behind each."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import gradio as gr
import pytest
import uvicorn
from fastapi import FastAPI

from common.modes.all import MODES
from router.dispatch import FederatedRunner, Studio
from router.federation import mounted
from router.health import ask
from tests.common.fakes import FakeService, space_of


@dataclass
class Fleet:
    """Modes mounted under one address, as the launcher does, and a Studio over them."""

    base: str
    services: dict[str, FakeService]
    studio: Studio

    def runner(self, mode: str) -> FederatedRunner:
        return FederatedRunner(MODES[mode], self.studio)


def serve(app: FastAPI) -> tuple[uvicorn.Server, threading.Thread, str]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < end, "the server did not start"
        time.sleep(0.02)
    return server, thread, f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the pretended engines write: inside the cache that all mounts share, and no other process writes to.

    Videos are named after their seeds: two processes in one folder would delete each other's.
    """
    from gradio.utils import get_upload_folder

    folder = Path(get_upload_folder()).resolve() / f"router-tests-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def fleet(outputs: Path) -> Iterator[Fleet]:
    services = {key: FakeService(mode, outputs) for key, mode in MODES.items()}
    app = FastAPI()
    for key, service in services.items():
        app = gr.mount_gradio_app(app, space_of(service), path=f"/{key}")
    server, thread, base = serve(app)
    studio = Studio.over(mounted(base))
    for places in studio.watcher.federation.values():
        for place in places:
            studio.watcher.note(ask(place))
    yield Fleet(base, services, studio)
    server.should_exit = True
    thread.join(timeout=10)
