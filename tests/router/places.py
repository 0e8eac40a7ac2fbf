"""Two places of one mode and a Studio over them, for tests of what happens between them."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from common.contract import Done, Event, Manifest, MediaHandle, Notice
from common.modes.all import MODES
from common.run.remote import ask_manifest
from router.dispatch import FederatedRunner, Studio
from router.federation import Place
from router.health import ask
from tests import fleet
from tests.common.fakes import StockedService, manifest
from tests.router.conftest import serve

VALUES = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 3}
TIMEOUT = httpx.Timeout(10)


@dataclass
class Copy:
    """A place of Text to Video: a process and a folder of its own. Jobs stand still while `hold` is there."""

    folder: Path
    hold_at: int = 1
    port: int = field(default_factory=fleet.free_port)
    process: subprocess.Popen | None = None

    def start(self) -> Copy:
        """Begin, or begin again, at the same address."""
        self.folder.mkdir(exist_ok=True)
        args = ["--modes", "t2v", "--stocked", "--pause", "0.05", "--hold", str(self.hold)]
        env = {"GRADIO_TEMP_DIR": str(self.folder)}
        self.process = fleet.start(self.port, *args, "--hold-at", str(self.hold_at), env=env)
        return self

    def end(self) -> None:
        """Kill it."""
        if self.process is not None:
            fleet.end(self.process)

    @property
    def hold(self) -> Path:
        """The file that holds its jobs."""
        return self.folder / "hold"

    @property
    def place(self) -> Place:
        """As a Studio knows it."""
        return Place("t2v", f"http://127.0.0.1:{self.port}/t2v/")

    def manifest(self) -> Manifest:
        """What it says of itself."""
        return ask_manifest(self.place.where, {}, TIMEOUT)

    def jobs(self) -> int:
        """How many jobs it says that it has."""
        told = self.manifest().jobs
        assert told is not None
        return told.all

    def videos(self) -> list[str]:
        """What it has made."""
        return sorted(path.name for path in self.folder.rglob("*.mp4"))

    def admin(self, action: str) -> None:
        """As its owner."""
        body = {"data": [StockedService.admin, action]}
        httpx.post(f"{self.place.where}gradio_api/run/admin", json=body, timeout=10).raise_for_status()


@dataclass
class Told:
    """A place that answers /manifest as it is told, `delay` seconds late, and to all else with an error.

    `jobs` is sent as it is, whatever it is.
    """

    jobs: object = None
    delay: float = 0.0
    dies: bool = False
    asked: list[str] = field(default_factory=list)

    def start(self) -> Told:
        """Answer, from now on."""
        app = FastAPI()

        @app.api_route("/{path:path}", methods=["GET", "POST"])
        async def any_path(path: str, request: Request) -> JSONResponse:
            self.asked.append(path)
            if not path.endswith("run/manifest"):
                return JSONResponse({}, 502)
            await asyncio.sleep(self.delay)
            told = manifest(MODES["t2v"]).model_dump(mode="json") | {"jobs": self.jobs}
            if self.dies:
                self.end()
            return JSONResponse({"data": [told]})

        self.server, self.thread, self.base = serve(app)
        return self

    def end(self) -> None:
        """Answer no more."""
        self.server.should_exit = True

    server: uvicorn.Server = field(init=False)
    thread: threading.Thread = field(init=False)
    base: str = field(init=False, default="")

    @property
    def place(self) -> Place:
        """As a Studio knows it."""
        return Place("t2v", f"{self.base}/")


def studio_over(*places: Place, known: bool = True) -> Studio:
    """A Studio that has asked these places, in this order."""
    studio = Studio.over({"t2v": places}, personal=True)
    for place in places:
        if known:
            studio.watcher.note(ask(place))
    return studio


@dataclass
class Job:
    """A job that runs in the background of an event loop: what it said, and how it ended."""

    studio: Studio
    seed: int = 1
    more: dict[str, object] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    video: MediaHandle | None = None

    def __post_init__(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> MediaHandle:
        values = {**VALUES, "seed": self.seed, **self.more}
        async for video, event in FederatedRunner(MODES["t2v"], self.studio).stream(values):
            self.events.append(event)
            if isinstance(event, Done):
                assert video is not None
                self.video = video
        assert self.video is not None, "no video came"
        return self.video

    def notices(self) -> list[str]:
        """What it was told beside its progress."""
        return [event.text for event in self.events if isinstance(event, Notice)]

    def said(self, kind: type[Event]) -> bool:
        """Whether it has said such a thing."""
        return any(isinstance(event, kind) for event in self.events)


async def until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait for what must come; `true` may ask over the network."""
    end = time.monotonic() + seconds
    while not await asyncio.to_thread(true):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.05)

