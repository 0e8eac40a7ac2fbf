"""The process that was asked for a job, where several cards make it: it has a follower for each of the others.

One crew for all modes of a process. What goes wrong with one of it ends it: the job fails by name, and the next one
has a new crew.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import common
from common.contract import Device
from common.errors import GOT_CHARACTERS, Cancelled, GpuError, shown
from common.run.service import Ready
from common.runtime import again
from common.runtime.crew import follower, ranks, words
from common.runtime.job import Job
from common.runtime.together import Ranks

LOOK = 0.1
"""Seconds between two looks at whether a job that waits for the others was stopped."""
GRACE_SECONDS = 5.0
SHOWS_SECONDS = 2.0
"""In which it shows whether a collective failed because another process has ended."""

log = logging.getLogger(__name__)


class Member:
    """A follower as the leader knows it."""

    def __init__(self, rank: int, size: int, device: Device, store: Path, moved: threading.Condition) -> None:
        self.rank, self.store, self.moved = rank, store, moved
        self.ready = 0
        """The last job that it has loaded and read everything for."""
        self.why: str | None = None
        """Why it is gone; None while it is there."""
        self.connection, theirs = Pipe()
        self.log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        told = [str(theirs.fileno()), str(rank), str(size), device, str(store)]
        # -P: what lies in the folder where the Studio was started is not what it imports.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", follower.__name__, *told],
            pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=_environment(rank, device), start_new_session=True,
        )  # fmt: skip
        theirs.close()
        threading.Thread(target=self._listen, name=f"card-{rank}", daemon=True).start()

    def say(self, content: bytes) -> None:
        """Whoever is gone is not told."""
        with suppress(OSError):
            self.connection.send_bytes(content)

    def end(self) -> None:
        """At once."""
        self.process.kill()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_SECONDS)
        self.connection.close()
        self.log.close()

    def _listen(self) -> None:
        why = ""
        with suppress(EOFError, OSError):
            while True:
                word, value = words.heard(self.connection.recv_bytes())
                with self.moved:
                    if word == "ready":
                        self.ready = value
                    else:
                        why = value
                    self.moved.notify_all()
        with self.moved:
            self.why = why or "it ended without a word"
            self.moved.notify_all()
        ranks.leave(self.store)  # or this process waits for ever for what it would have sent


class Crew:
    """A leader and its followers, `size` of them together."""

    def __init__(self, size: int, device: Device) -> None:
        self.size = size
        self.device: Device = device
        self.folder = Path(tempfile.mkdtemp(prefix="wan-crew-"))
        self.moved = threading.Condition()
        self.turn = threading.Lock()
        self.jobs = 0
        self.over = False
        self.store = self.folder / "store"
        self.members = [Member(rank, size, device, self.store, self.moved) for rank in range(1, size)]

    def say(self, *said: Any) -> None:
        """To all."""
        content = words.said(*said)
        for member in self.members:
            member.say(content)

    def check(self) -> None:
        """GpuError where one of them is gone."""
        if (lost := self.lost()) is not None:
            raise lost

    def lost(self, seconds: float = 0) -> GpuError | None:
        """What is to be said of the first that is gone, which may show a little after what it did not send."""
        with self.moved:
            self.moved.wait_for(lambda: any(m.why is not None for m in self.members), seconds)
        for member in self.members:
            if member.why is not None:
                why = shown(member.why.strip(), GOT_CHARACTERS)
                return GpuError(
                    f"the process of card {member.rank + 1} of {self.size} ended in the middle of the job ({why}); "
                    "start it again: all cards get new ones",
                    title="A card's process ended",
                )
        return None

    def wait(self, number: int, check: Callable[[], None]) -> None:
        """Until all are ready for a job."""
        while True:
            check()
            self.check()
            with self.moved:
                if self.moved.wait_for(lambda: all(m.ready == number for m in self.members), LOOK):
                    return

    def join(self) -> Ranks:
        """The group of all of them, where this is the first."""
        return ranks.join(self.store, 0, self.size, self.device)

    def end(self) -> None:
        """Ends all of them, whatever they do."""
        if self.over:
            return
        self.over = True
        for member in self.members:
            if member.why is not None and not member.log.closed:
                member.log.seek(0)
                log.error("card %d ended: %s", member.rank + 1, member.log.read()[-4000:].decode(errors="replace"))
        ranks.leave(self.store)
        for member in self.members:
            member.end()
        shutil.rmtree(self.folder, ignore_errors=True)


class Leading:
    """A job's others as the leader sees them: see `Together`."""

    leads = True

    def __init__(self, crew: Crew, number: int) -> None:
        self.crew, self.number = crew, number
        self.in_step = False
        """Whether the others wait for what this process sends them."""

    def begin(self, check: Callable[[], None]) -> Ranks:
        """See `Together`."""
        self.crew.wait(self.number, check)
        self.in_step = True
        self.crew.say("go")
        return self.crew.join()

    def stops(self, asked: bool) -> bool:
        """See `Together`."""
        self.crew.check()
        self.crew.say("step", asked)
        self.in_step = not asked
        return asked

    def end(self) -> None:
        """See `Together`."""
        self.in_step = False


_crew: Crew | None = None
_lock = threading.Lock()


@contextmanager
def shared(engine: object, ready: Ready[Any], job: Job, device: Device) -> Iterator[None]:
    """In it the other cards of this process sample the same job, where its plan says so.

    GpuError where one of their processes ends.
    """
    placed = ready.plan.placement
    if placed is None or placed.cards == 1 or job.together is not None:  # a follower has a leader
        yield
        return
    crew = _of(placed.cards, device)
    with crew.turn:
        crew.jobs += 1
        job.together = lead = Leading(crew, crew.jobs)
        try:
            crew.say("job", lead.number, again.source(engine), ready)
            yield
        except BaseException as error:
            known = isinstance(error, Cancelled | GpuError)
            lost = None if known else crew.lost(SHOWS_SECONDS if lead.in_step else 0)
            if lead.in_step:  # they wait for what will not come
                crew.end()
            if lost is not None:  # of two errors that which is the cause
                raise lost from error
            raise
        finally:
            job.together = None
            crew.say("over", lead.number)
            if crew.lost():
                crew.end()


def unload() -> None:
    """The followers let their models go, once they have no job."""
    if _crew is not None and not _crew.over:
        _crew.say("unload")


def _of(size: int, device: Device) -> Crew:
    global _crew
    with _lock:
        if _crew is not None and (_crew.over or _crew.size != size or _crew.lost()):
            _crew.end()
            _crew = None
        if _crew is None:
            _crew = Crew(size, device)
            atexit.register(_crew.end)
        return _crew


def _environment(rank: int, device: Device) -> dict[str, str]:
    """A follower's: it has one card, no crew and no line of its own, and says nothing."""
    root = str(Path(common.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    found = os.environ | {
        "PYTHONPATH": path, "WAN_CARDS": "", "WAN_ENGINE": "", "WAN_REPLICAS": "", "WAN_ADMIN": "",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }  # fmt: skip
    if device == "cuda":
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        found["CUDA_VISIBLE_DEVICES"] = seen.split(",")[rank].strip() if seen else str(rank)
    return found
