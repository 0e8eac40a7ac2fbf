"""A pool of workers: one line over all of them, each job where its model is loaded, a dead worker's job once more."""

from __future__ import annotations

import logging
import pickle
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from common import cache
from common.contract import Backend, Event, Heartbeat, Notice, Plan, Stage
from common.errors import GpuError, StudioError, UnavailableError
from common.modes.base import Mode
from common.run.service import Ready
from common.runtime import again
from common.runtime.device.turns import Turns
from common.runtime.job import HEARTBEAT, since
from common.runtime.lending import parcels
from common.runtime.lending.lender import Borrower, Held
from common.runtime.lending.replica import ROOT, Told
from common.runtime.zerogpu import SILENCE, Carried
from common.settings import SpaceSettings

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

PATIENCE = 20.0
"""Seconds for which a worker that cannot be reached may still come back with its job."""
COMEBACK = 300.0
"""Seconds until a worker is up again, models not counted, that a job waits for where no other is left."""
LOOK = 1.0
"""Seconds between two looks at whether a dead one is back."""
TRIES = 2
"""A job that takes its worker down with it is not to take down all."""


class Lost(Exception):
    """A worker is gone, or another process in its place that knows nothing of the job."""


class Unreachable(Exception):
    """A worker did not answer this once; it may be there."""


class Worker(Protocol):
    """A `Replica` somewhere. A call raises StudioError, Lost or Unreachable."""

    name: str

    def ask(self, method: str, *args: Any, **named: Any) -> Any:
        """Begins a call."""
        ...

    def answer(self, call: Any, seconds: float) -> Any:
        """What a call gave; TimeoutError while it has not."""
        ...

    def end(self) -> None:
        """Kills the process; another one takes its place."""
        ...


@dataclass(eq=False)
class Member:
    """A worker as the pool knows it."""

    worker: Worker
    busy: bool = False
    dead: bool = False
    looked: float = 0.0
    greeting: Any = None
    used: float = 0.0
    held: list[Held] = field(default_factory=lambda: list[Held]())
    shares: bool | None = None
    """Whether it has this machine's disk; None where nobody has asked."""


class Pool:
    """Lends its workers to engines: see `Lender`."""

    def __init__(self, workers: Sequence[Worker], *, own_disk: bool = True) -> None:
        self.line = Turns(len(workers))
        self.own_disk = own_disk
        self._members = [Member(worker) for worker in workers]
        self._moved = threading.Condition()

    # ------------------------------------------------------------------ what is known of them

    def serves(self, mode: Mode[Any], checkpoints: Sequence[str]) -> Sequence[str]:
        """All: its workers are engines of this very code."""
        return checkpoints

    def check(self, plan: Plan) -> None:
        """For the same reason anything may be asked of it."""

    def backend(self, settings: SpaceSettings, checkpoints: Sequence[str]) -> Backend:
        """The smallest machine of the pool: what fits there fits everywhere."""
        asked = replace(settings, admin="", engine="", engine_key="")
        found: list[Backend] = []
        for member in self._members:
            try:
                found.append(_at_last(member.worker, "machine", asked, tuple(checkpoints)))
            except (Lost, Unreachable, TimeoutError):
                log.warning("%s does not say what machine it is", member.worker.name)
        if not found:
            raise UnavailableError(f"none of the {len(self._members)} workers came up; see Ray's own log")
        return min(found, key=lambda backend: backend.memory_bytes)

    def warm(self, borrower: Borrower) -> None:
        """Each imports the engine and its libraries, which takes ten seconds."""
        for member in self._members:
            member.worker.ask("warm", _app(borrower))

    def held(self) -> list[Held]:
        """What any of them has in memory, as of its last job."""
        return [held for member in self._members for held in member.held]

    def unload(self) -> None:
        """Each lets its models go."""
        for member in self._members:
            try:
                _at_last(member.worker, "unload")
                member.held = []
            except (Lost, Unreachable, TimeoutError):
                continue  # with the process went what it had loaded

    # ------------------------------------------------------------------ a job

    def run(self, borrower: Borrower, ready: Ready[Any]) -> Generator[Carried, None, None]:
        """The GPU's part of a job on the worker that suits it best; once more on another where that one dies."""
        began, lost = time.monotonic(), list[str]()

        def now() -> float:
            return time.monotonic() - began

        while True:
            member = yield from self._taken(ready.plan.checkpoint, now)
            start = now()
            try:
                for path, item in self._followed(member, borrower, ready):
                    yield path, item if isinstance(item, StudioError) else since(start, item)
                return
            except (Lost, Unreachable, TimeoutError):
                member.dead, member.held = True, []
                lost.append(member.worker.name)
                log.warning("%s died with a job", member.worker.name)
            finally:
                self._give(member)
            if len(lost) == TRIES:
                names = " and ".join(dict.fromkeys(lost))
                text = f"{names} ended in the middle of the job, twice; a smaller size or fewer frames may need less"
                yield None, GpuError(f"{text} memory", title="The worker died")
                return
            part = f"segment {ready.segment + 1}" if len(ready.plan.segments) > 1 else "the job"
            yield None, Notice(text=f"{lost[0]} ended in the middle; {part} begins again.").later(now())

    def _taken(self, checkpoint: str, now: Callable[[], float]) -> Generator[Carried, None, Member]:
        """A free worker: that which has the model loaded, else an empty one, else the one longest idle."""
        told = False
        end = time.monotonic() + COMEBACK
        while True:
            with self._moved:
                free = [s for s in self._members if not s.busy and self._up(s)]
                if free:
                    member = min(free, key=lambda s: (_suits(s, checkpoint), s.used))
                    member.busy = True
                    return member
            if time.monotonic() > end:
                raise GpuError(
                    f"no worker came up for {COMEBACK:.0f} s; see Ray's own log, or start the Studio anew",
                    title="No worker is left",
                )
            waiting = Heartbeat() if told else Stage(name="gpu", text="Waiting for a worker to come up")
            told = True
            yield None, waiting.later(now())
            with self._moved:
                self._moved.wait(HEARTBEAT)

    def _up(self, member: Member) -> bool:
        """Whether a worker may be given a job: a dead one once it has answered again."""
        if not member.dead:
            return True
        now = time.monotonic()
        try:
            if member.greeting is None:
                if now - member.looked < LOOK:
                    return False
                member.looked, member.greeting = now, member.worker.ask("hello")
            member.worker.answer(member.greeting, 0)
        except TimeoutError:
            return False
        except (Lost, Unreachable):
            member.greeting = None
            return False
        member.greeting, member.dead = None, False
        return True

    def _give(self, member: Member) -> None:
        with self._moved:
            member.busy, member.used = False, time.monotonic()
            self._moved.notify_all()

    def _followed(self, member: Member, borrower: Borrower, ready: Ready[Any]) -> Iterator[Carried]:
        """One try on one worker. Lost where it is gone before all has arrived."""
        worker, job, seen, told = member.worker, secrets.token_hex(8), 0, Told()
        if not self._shares(member):
            parcels.bring(worker, borrower.reads(ready))
        try:
            yield from _patient(worker, "begin", job, _app(borrower), pickle.dumps(ready))
            while not told.over:
                answer = yield from _patient(worker, "more", job, seen)
                if answer is None:
                    raise Lost(worker.name)
                told = answer
                seen += len(told.items)
                self._fetched(member, [path for path, _ in told.items if path] + told.left)
                if not told.items:
                    yield None, Heartbeat()
                yield from told.items
        finally:
            if told.over:
                _over(member, job, told)
            else:
                _stopped(member, job, seen)

    def _shares(self, member: Member) -> bool:
        if member.shares is None:
            mark = cache.results() / f".{secrets.token_hex(8)}"
            mark.touch()
            try:
                member.shares = _at_last(member.worker, "sees", str(mark))
            except (Unreachable, TimeoutError):
                raise Lost(member.worker.name) from None
            finally:
                mark.unlink(missing_ok=True)
            if not member.shares:
                member.worker.ask("alone")
        return bool(member.shares)

    def _fetched(self, member: Member, paths: Sequence[str]) -> None:
        if not member.shares:
            for path in paths:
                parcels.fetch(member.worker, Path(path))


def _app(borrower: Borrower) -> str:
    return again.source(borrower).relative_to(ROOT).as_posix()


def _suits(member: Member, checkpoint: str) -> int:
    if any(held.checkpoint == checkpoint for held in member.held):
        return 0
    return 2 if member.held else 1


def _at_last(worker: Worker, method: str, *args: Any) -> Any:
    """A call's answer, for who waits; TimeoutError after COMEBACK seconds."""
    return worker.answer(worker.ask(method, *args), COMEBACK)


def _patient(worker: Worker, method: str, *args: Any) -> Generator[tuple[None, Event], None, Any]:
    """A call's answer, with signs of life until it is there; asked again where nobody could be reached.

    Lost where nobody can for PATIENCE seconds, or where a worker says nothing for SILENCE.
    """
    call, heard, cut = worker.ask(method, *args), time.monotonic(), None
    while True:
        try:
            return worker.answer(call, HEARTBEAT)
        except TimeoutError:
            if time.monotonic() - heard > SILENCE:
                worker.end()
                raise Lost(worker.name) from None
        except Unreachable:
            cut = cut or time.monotonic()
            if time.monotonic() - cut > PATIENCE:
                raise Lost(worker.name) from None
            time.sleep(0.1)
            call = worker.ask(method, *args)
        yield None, Heartbeat()


def _over(member: Member, job: str, told: Told) -> None:
    """Notes what a job has left behind: perhaps a process that may fail every job from now on."""
    if told.broken:
        member.worker.end()
        member.dead, member.held = True, []
    else:
        member.held = told.held
        member.worker.ask("forget", job)


def _stopped(member: Member, job: str, seen: int) -> None:
    """Ends a job, and returns when it has let the device go; a worker that does not let go is ended."""
    worker, end = member.worker, time.monotonic() + SILENCE
    try:
        worker.answer(worker.ask("stop", job), PATIENCE)
        while time.monotonic() < end:
            told: Told | None = worker.answer(worker.ask("more", job, seen), PATIENCE)
            if told is None or told.over:  # or it has never begun, and will not
                _over(member, job, told or Told(held=member.held))
                return
            seen += len(told.items)
        worker.end()
    except (Lost, Unreachable, TimeoutError):
        worker.end()
    member.dead, member.held = True, []
