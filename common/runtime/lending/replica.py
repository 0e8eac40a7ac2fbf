"""A worker of a pool: the engines of this very code once more, one job at a time, over calls that may be lost.

It knows nothing of who calls it: under Ray it is an actor, whose methods come in threads of their own.
"""

from __future__ import annotations

import os
import pickle
import platform
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from common import cache
from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.errors import StudioError
from common.run.runner import explain
from common.runtime import again
from common.runtime.device import backend as machine
from common.runtime.job import HEARTBEAT
from common.runtime.lending.lender import Held
from common.runtime.model import load, weights
from common.runtime.zerogpu import Carried
from common.settings import SpaceSettings

ROOT = Path(__file__).resolve().parents[3]
"""Where this code lies: on every machine somewhere else."""


@dataclass
class Told:
    """What became of a job so far: all that it has said, since an answer may not arrive."""

    items: list[Carried] = field(default_factory=lambda: list[Carried]())
    over: bool = False
    broken: bool = False
    """Something failed that nobody expected: who knows in what state this process is."""
    held: list[Held] = field(default_factory=lambda: list[Held]())
    left: list[str] = field(default_factory=lambda: list[str]())
    """Files of the cache that the work has left behind, beside the video."""


class Replica:
    """See above. Jobs are known by an id that the caller draws."""

    def __init__(self) -> None:
        self._jobs: dict[str, Told] = {}
        self._stops: dict[str, threading.Event] = {}
        self._moved = threading.Condition()
        self._turn = threading.Lock()

    def hello(self) -> tuple[str, int]:
        """The machine's name and this process' number: it is up."""
        return platform.node(), os.getpid()

    def machine(self, settings: SpaceSettings, checkpoints: Sequence[str]) -> Backend:
        """This machine, for an engine that offers these."""
        found = machine.detect(settings, checkpoints[0])
        if settings.weights == "wan":
            mounted = weights.in_8_bits([CHECKPOINTS[key] for key in checkpoints])
            found = found.model_copy(update={"in_8_bits": mounted})
        return found

    def warm(self, app: str) -> None:
        """Imports an engine and what it needs, before the first job."""
        threading.Thread(target=self._warm, args=(app,), name="warm", daemon=True).start()

    # ------------------------------------------------------------------ a job

    def begin(self, job: str, app: str, ready: bytes) -> None:
        """Begins the GPU's part of a job: `app` is the engine's file as seen from the root, `ready` a pickled Ready.

        One that has begun already goes on: nothing is done twice because somebody has asked twice.
        """
        with self._moved:
            if job in self._jobs:
                return
            told = self._jobs[job] = Told()
            stop = self._stops.setdefault(job, threading.Event())
        # Its own: by the time that it starts a stopped job may be forgotten.
        work = (told, stop, app, ready)
        threading.Thread(target=self._work, args=work, name="replica", daemon=True).start()

    def more(self, job: str, seen: int) -> Told | None:
        """What a job has said after the first `seen` items, waiting a moment where that is nothing.

        None for a job that this process has never begun.
        """
        with self._moved:
            told = self._jobs.get(job)
            if told is None:
                return None
            self._moved.wait_for(lambda: told.over or len(told.items) > seen, timeout=HEARTBEAT)
            return replace(told, items=told.items[seen:])

    def stop(self, job: str) -> None:
        """Ends a job within a step; `more` tells when it is over. One that comes later ends before it begins."""
        with self._moved:
            self._stops.setdefault(job, threading.Event()).set()

    def forget(self, job: str) -> None:
        """All of it has arrived."""
        with self._moved:
            if self._jobs.pop(job, None) is not None:
                del self._stops[job]

    def unload(self) -> None:
        """Lets what is in memory go."""
        for engine in again.loaded():
            engine.unload()

    # ------------------------------------------------------------------ files, where the disk is another

    def alone(self) -> None:
        """Nobody else looks after this disk's cache."""
        cache.keep([])

    def sees(self, path: str) -> bool:
        """Whether a file of the caller's cache is here, too."""
        return Path(path).is_file()

    def size(self, path: str) -> int:
        """Bytes of a file of the cache."""
        return _own(path).stat().st_size

    def get(self, path: str, start: int, most: int) -> bytes:
        """A piece of a file of the cache."""
        with _own(path).open("rb") as file:
            file.seek(start)
            return file.read(most)

    def put(self, path: str, start: int, piece: bytes, *, last: bool) -> None:
        """Writes a piece of a file of the cache, which has its name once the last one is there.

        By its place: what came of it before, from a caller that broke off, is written over.
        """
        whole = _own(path)
        part = whole.with_name(f".{whole.name}.part")
        part.parent.mkdir(parents=True, exist_ok=True)
        with part.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.write(piece)
        if last:
            part.replace(whole)

    # ------------------------------------------------------------------ the work

    def _work(self, told: Told, stop: threading.Event, app: str, ready: bytes) -> None:
        engine = None
        try:
            with self._turn:  # of a job that was stopped the last step may be under way
                if stop.is_set():
                    return
                engine = again.load(ROOT / app).service
                given = pickle.loads(ready)
                work = engine.run(given)
                try:
                    for item in work:
                        self._say(told, item)
                        if stop.is_set():
                            break
                finally:
                    work.close()
                with self._moved:
                    told.left = [str(path) for path in engine.writes(given)]
        except Exception as error:
            with self._moved:
                told.broken = True
                if not any(isinstance(item, StudioError) for _, item in told.items):
                    told.items.append((None, explain(error)))
        finally:
            with self._moved:
                told.held = engine.own() if engine is not None else []
                told.over = True
                self._moved.notify_all()

    def _warm(self, app: str) -> None:
        with self._turn:  # a job that comes meanwhile would import the same
            load.pipeline_class(again.load(ROOT / app).service.pipeline)

    def _say(self, told: Told, item: Carried) -> None:
        with self._moved:
            told.items.append(item)
            self._moved.notify_all()


def _own(path: str) -> Path:
    """A file of the cache: its folder has the same name on every machine."""
    file = Path(path).resolve()
    if not file.is_relative_to(cache.root()):
        raise StudioError("a worker hands out and takes files of its cache alone", title="Not a file of a job")
    return file
