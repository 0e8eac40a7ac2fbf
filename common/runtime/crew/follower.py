"""A process for one more card: it samples what the leader samples. `python -m … PIPE RANK SIZE DEVICE STORE`.

It ends when the leader ends, however that does, and by itself where anything but a stop keeps it from a job's end:
then the leader's collectives end too, and the next job has a new crew.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from common.contract import Device
from common.errors import Cancelled
from common.runtime import again
from common.runtime.crew import ranks, words
from common.runtime.job import Job
from common.runtime.together import Ranks


@dataclass
class Follower:
    """The `rank`-th of `size`, at the other end of the leader's pipe."""

    connection: Connection
    rank: int
    size: int
    device: Device
    store: Path

    def __post_init__(self) -> None:
        self.inbox: SimpleQueue[bytes] = SimpleQueue()
        self.unloads = False
        # From the first moment on, and while the card works: whoever reads nothing does not know that it is alone.
        threading.Thread(target=self._listen, name="leader", daemon=True).start()

    def work(self) -> None:
        """Job after job, for ever."""
        service: Any = None
        while True:
            word, *given = self.next()
            if word == "job":
                number, path, ready = given
                service = again.load(path).service
                self._follow(service, number, ready)
            if self.unloads and service is not None:
                service.unload()
            self.unloads = False

    def next(self) -> tuple[Any, ...]:
        """The next word for a job, or for between jobs."""
        word, *given = words.heard(self.inbox.get())
        if word == "unload":  # a job that runs keeps what it has
            self.unloads = True
        return word, *given

    def _follow(self, service: Any, number: int, ready: Any) -> None:
        job = Job()
        job.together = Following(self, number)
        try:
            service.follow(ready, job)
        except Cancelled:
            return

    def _listen(self) -> None:
        try:
            while True:
                self.inbox.put(self.connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to do anything for


@dataclass
class Following:
    """A job's others as a follower sees them: see `Together`."""

    follower: Follower
    number: int
    leads = False

    def begin(self, check: Callable[[], None]) -> Ranks:
        """See `Together`."""
        self.follower.connection.send_bytes(words.said("ready", self.number))
        while True:
            word, *given = self.follower.next()
            if word == "go":
                here = self.follower
                return ranks.join(here.store, here.rank, here.size, here.device)
            if word == "over" and given == [self.number]:
                raise Cancelled

    def stops(self, asked: bool) -> bool:
        """See `Together`."""
        while True:
            word, *given = self.follower.next()
            if word in ("step", "over"):
                return word == "over" or given[0]

    def end(self) -> None:
        """See `Together`."""


def main(pipe: str, rank: str, size: str, device: Any, store: str) -> None:
    """Ends with the process."""
    follower = Follower(Connection(int(pipe)), int(rank), int(size), device, Path(store))
    try:
        follower.work()
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        follower.connection.send_bytes(words.said("failed", str(error) or type(error).__name__))
    finally:
        os._exit(1)  # a collective that hangs, or the card, would keep it


if __name__ == "__main__":
    main(*sys.argv[1:])
