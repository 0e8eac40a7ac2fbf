"""One job: waits in line, does its work in a thread, streams events, at least two a second, until done or closed."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from common.contract import Done, Event, Heartbeat, Notice, Queued, Stage
from common.errors import Cancelled
from common.run.service import Update
from common.runtime.device.turns import Turns
from common.runtime.together import Ranks, Together

HEARTBEAT = 0.4
"""Seconds: a little under the promised half, since ZeroGPU looks for a stop only after a yield."""
COUNT_SECONDS = 0.2
"""Between two counts of a stage's progress; its last one is always told."""

Result = TypeVar("Result")


@dataclass(frozen=True)
class Made:
    """What the GPU's work returns: the file, and its `done`."""

    path: Path
    done: Done


class Job:
    """What work may say and ask."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.stop = threading.Event()
        self._stage = Stage(name="", text="")
        self._counted = 0.0
        self.notices: list[str] = []
        self.together: Together | None = None
        """Who else samples it, where several cards do."""
        self._verdict: bool | None = None

    @property
    def leads(self) -> bool:
        """Whether this process decodes, writes and tells."""
        return self.together is None or self.together.leads

    def seconds(self) -> float:
        """Since the start of the job."""
        return round(time.monotonic() - self.start, 3)

    def say(self, event: Event) -> None:
        """Sends an event."""
        self.events.put(event)

    def stage(self, name: str, text: str) -> None:
        """Begins a stage; a stop asked for meanwhile takes effect here."""
        self.check()
        self._stage, self._counted = Stage(name=name, text=text, t=self.seconds()), 0.0
        self.say(self._stage)

    def note(self, text: str) -> None:
        """Sends a notice; the same one once."""
        if text not in self.notices:
            self.notices.append(text)
            self.say(Notice(text=text, t=self.seconds()))

    def check(self, done: int = 0, total: int = 0) -> None:
        """Raises Cancelled when the user has stopped the job; says how far the stage is, where that is known."""
        if self.stop.is_set() if self._verdict is None else self._verdict:
            raise Cancelled()
        if total and (done == total or self.seconds() - self._counted >= COUNT_SECONDS):
            self._counted = self.seconds()
            self.say(self._stage.model_copy(update={"done": done, "total": total, "t": self._counted}))

    @contextmanager
    def in_step(self) -> Iterator[Ranks | None]:
        """In it all who sample the job go from step to step together; None where that is this process alone."""
        if self.together is None:
            yield None
            return
        self.stage("load", "Waiting for the other cards")
        ranks = self.together.begin(self.check)
        self._verdict = False
        try:
            yield ranks
        finally:
            self._verdict = None
        self.together.end()

    def meet(self) -> None:
        """After each step, before anything else: from here on `check` says what the leader has decided for all."""
        if self.together is not None and self._verdict is not None:
            self._verdict = self.together.stops(self.stop.is_set())


def in_turn(line: Turns, job: Job) -> Generator[Update, None, Callable[[], None]]:
    """Waits in line with signs of life; returns what gives the place up again."""
    ticket = line.enter()
    try:
        yield None, Queued(position=ticket.position, t=job.seconds())
        while not ticket.wait(HEARTBEAT):
            yield None, Queued(position=ticket.position, t=job.seconds())
    except BaseException:
        ticket.leave()
        raise
    return ticket.leave


def work(does: Callable[[Job], Result], job: Job) -> Generator[Update, None, Result]:
    """Runs `does` in a thread, yields its events, returns its result. Closing stops it and waits for its end."""
    made: list[Result] = []
    failed: list[BaseException] = []

    def target() -> None:
        try:
            made.append(does(job))
        except BaseException as error:  # raised again by the generator
            failed.append(error)
        finally:
            job.events.put(None)

    # Daemon: a Ctrl-C must not wait for a 30-step job.
    thread = threading.Thread(target=target, name="wan-job", daemon=True)
    thread.start()
    over = False
    try:
        while True:
            try:
                event = job.events.get(timeout=HEARTBEAT)
            except queue.Empty:
                yield None, Heartbeat(t=job.seconds())
                continue
            if event is None:
                over = True
                break
            yield None, event
    finally:
        if not over:
            job.stop.set()
        thread.join()
    if failed:
        raise failed[0]
    return made[0]


def since(began: float, event: Event) -> Event:
    """An event of work that has a clock of its own, by that of the whole job, which `began` so long before."""
    event = event.later(began)
    if isinstance(event, Done):
        event = event.model_copy(update={"seconds": round(event.seconds + began, 3)})
    return event
