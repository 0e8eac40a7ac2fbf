"""Runs work in a thread and streams its events, at least two a second, until it is done or closed."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from common.contract import Done, Event, Heartbeat, Notice, Queued, Stage
from common.errors import Cancelled
from common.runtime.turns import Turns

HEARTBEAT = 0.4
"""Seconds: a little under the promised half, since ZeroGPU looks for a stop only after a yield."""


@dataclass(frozen=True)
class Made:
    """What work returns: the file, and its `done`."""

    path: Path
    done: Done


class Job:
    """What work may say and ask."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self.stop = threading.Event()

    def seconds(self) -> float:
        """Since the start of the job."""
        return round(time.monotonic() - self.start, 3)

    def say(self, event: Event) -> None:
        """Sends an event."""
        self.events.put(event)

    def stage(self, name: str, text: str) -> None:
        """Begins a stage; a stop asked for meanwhile takes effect here."""
        self.check()
        self.say(Stage(name=name, text=text, t=self.seconds()))

    def note(self, text: str) -> None:
        """Sends a notice."""
        self.say(Notice(text=text, t=self.seconds()))

    def check(self) -> None:
        """Raises Cancelled when the user has stopped the job."""
        if self.stop.is_set():
            raise Cancelled()


def stream(work: Callable[[Job], Made], line: Turns) -> Generator[tuple[str | None, Event], None, None]:
    """Waits in line, runs `work`, yields its events. Closing it stops the work and waits for its end."""
    job = Job()
    ticket = line.enter()
    try:
        yield None, Queued(position=ticket.position, t=job.seconds())
        while not ticket.wait(HEARTBEAT):
            yield None, Queued(position=ticket.position, t=job.seconds())
        yield from _run(work, job)
    finally:
        ticket.leave()


def _run(work: Callable[[Job], Made], job: Job) -> Iterator[tuple[str | None, Event]]:
    made: list[Made] = []
    failed: list[BaseException] = []

    def target() -> None:
        try:
            made.append(work(job))
        except BaseException as error:  # raised again by the generator
            failed.append(error)
        finally:
            job.events.put(None)

    # Daemon: a Ctrl-C must not wait for a 30-step job.
    thread = threading.Thread(target=target, name="wan-job", daemon=True)
    thread.start()
    try:
        while True:
            try:
                event = job.events.get(timeout=HEARTBEAT)
            except queue.Empty:
                yield None, Heartbeat(t=job.seconds())
                continue
            if event is None:
                break
            yield None, event
    finally:
        job.stop.set()
        thread.join()
    if failed:
        raise failed[0]
    yield str(made[0].path), made[0].done
