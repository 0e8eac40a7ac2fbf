"""What a Space takes in: how many jobs it has, and whether it takes more.

Most of them wait in Gradio's queue, before any handler of ours is asked. A Space that is **draining** finishes what
it has, there too, and refuses what comes after, so that it can be updated with nothing lost: on its owner's word
(`/admin`), or because its process was asked to end (SIGTERM).
"""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

from gradio.queueing import EventQueue, Queue

from common.contract import Jobs
from common.errors import UnavailableError

DRAIN_SECONDS = 3600.0
"""How long a Space drains by itself: who has drained it may have died, and a new process takes jobs anyway."""
LINGER_SECONDS = 10.0
"""How long a process that ends stays after its last job, whose video is about to be fetched."""
LOOK_SECONDS = 0.5
_REFUSED = "refused"
"""The line, without a limit, of what is refused: it must not wait for its turn to hear that."""


class Intake:
    """The line of jobs that is Gradio's of one `concurrency_id`, and what the service says of its own."""

    def __init__(self, title: str, line: str, service: Callable[[], Jobs | None] = lambda: None) -> None:
        self._title, self._line, self._service = title, line, service
        self._queue: Queue | None = None
        self._until = -math.inf
        self._refused: set[str] = set()
        self._leaving = False

    def watch(self, queue: Queue) -> None:
        """Stand before this queue."""
        push, self._queue = queue.push, queue

        async def pushed(*args: object, **options: object) -> object:
            taken, event, state = await push(*args, **options)  # type: ignore[arg-type]
            if taken and self.draining:
                self._turn_away(queue, str(event))
            return taken, event, state

        queue.push = pushed  # type: ignore[method-assign]

    # ------------------------------------------------------------------ how much there is to do

    def jobs(self, known: Jobs | None = None) -> Jobs:
        """All jobs that are here, whoever sent them; `known` is what the service says of its own line."""
        known = known or self._service() or Jobs()
        queue = self._queue  # false while nobody waits in it
        line = None if queue is None else queue.event_queue_per_concurrency_id.get(self._line)
        waiting, at_work = (len(line.queue), line.current_concurrency) if line else (0, 0)
        # What Gradio lets through stands in the service's line; so does what other modes of the device have there.
        begun = max(at_work, known.all)
        running = min(begun, known.at_once)
        return known.model_copy(update={"running": running, "waiting": waiting + begun - running})

    # ------------------------------------------------------------------ draining

    @property
    def draining(self) -> bool:
        """Whether nothing new is taken."""
        return time.monotonic() < self._until

    def drain(self) -> None:
        """Finish what is here and take nothing more; for an hour, unless it is told again."""
        self._until = max(self._until, time.monotonic() + DRAIN_SECONDS)

    def undrain(self) -> None:
        """Take jobs again; not where the process is about to end."""
        if not self._leaving:
            self._until = -math.inf

    def check(self, event: str | None) -> None:
        """UnavailableError for a job that came while nothing was taken."""
        if event in self._refused:
            self._refused.discard(event)
            raise UnavailableError(f"{self._title} is being updated and takes no new jobs; try again in a minute")

    def _turn_away(self, queue: Queue, name: str) -> None:
        event, lines = queue.event_ids_to_events.get(name), queue.event_queue_per_concurrency_id
        if event is None or event.concurrency_id != self._line or event not in lines[self._line].queue:
            return
        self._refused.add(name)
        lines[self._line].queue.remove(event)
        event.concurrency_id = _REFUSED
        lines.setdefault(_REFUSED, EventQueue(_REFUSED, None)).queue.append(event)

    # ------------------------------------------------------------------ the end

    def leave_when_asked(self) -> None:
        """From now on SIGTERM drains, and ends the process after its last job; a second one ends it at once."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._asked_to_leave)

    def _asked_to_leave(self, number: int, frame: FrameType | None) -> None:
        if self._leaving:
            _end()
        self._leaving, self._until = True, math.inf
        threading.Thread(target=self._leave, name="leaving", daemon=True).start()

    def _leave(self) -> None:
        busy = False
        while self.jobs().all:
            busy = True
            time.sleep(LOOK_SECONDS)
        if busy:
            time.sleep(LINGER_SECONDS)
        _end()


def _end() -> None:
    # Not by the signal's own default, which the first process of a container never gets.
    sys.stdout.flush()
    os._exit(128 + signal.SIGTERM)
