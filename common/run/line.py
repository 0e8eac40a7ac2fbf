"""The line of jobs: begins what a Book has waiting, lane by lane, and tells whoever follows a job how far it is.

A job runs in a task of its own, whoever looks on: a page that is closed, reloaded or opened twice changes nothing.
For one event loop.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, aclosing, suppress
from functools import lru_cache, partial
from typing import Any

from common import cache
from common.budgets import BUDGETS
from common.contract import Done, Event, Failed, Heartbeat, ModeKey, Queued, Stopped
from common.errors import Cancelled, InputError, StudioError, UnavailableError
from common.run import book as books
from common.run.batch import Member
from common.run.book import Book, Entry, State
from common.run.runner import OWNER, Progress, Runner, ending, explain, passed_on

BEAT_SECONDS, WAITING_BEAT_SECONDS = 0.5, 5.0
"""How often who follows a job hears that it lives: a hundred that wait would keep a Studio busy with saying so."""

NOTHING = StudioError("The job ended without a video.", title="Nothing came back")


class Line:
    """Runs the jobs of `book`.

    `runners` have the work done, by mode. `lane` says which modes wait for one another (those that share a GPU), and
    `at_once` how many jobs of a lane run side by side.
    """

    def __init__(
        self,
        book: Book,
        runners: Mapping[ModeKey, Runner],
        *,
        lane: Callable[[ModeKey], str] = str,
        at_once: Callable[[str], int] = lambda lane: 1,
    ) -> None:
        self.book = book
        self._runners, self._lane, self._at_once = runners, lane, at_once
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._lanes: dict[str, str] = {}
        self._ahead: dict[str, int] = {}
        self._headers: dict[str, Mapping[str, str]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._stopping: set[str] = set()
        self._over = False
        self._held: dict[str, ExitStack] = {}
        book.recover()
        for waiting in book.line():
            if entry := book.entry(waiting.owner, waiting.id):
                self._hold(entry)

    # ------------------------------------------------------------------ what an owner may do

    def add(
        self, owner: str, job: str, mode: ModeKey, asked: Mapping[str, Any], headers: Mapping[str, str]
    ) -> Entry:
        """Enter a job; it begins when it is its turn, with those of `headers` that a mode is passed.

        The one that is there where the owner has entered this id before. UnavailableError for one too many.
        """
        if self.book.waiting(owner) >= (most := BUDGETS.visitor_jobs):
            raise UnavailableError(f"{most} jobs of yours wait already; let some of them end, or cancel some")
        passed = passed_on(headers)
        entry = self.book.add(owner, job, mode, asked, billed=bool(passed))
        self._entered([entry], passed)
        return entry

    def add_batch(
        self, owner: str, batch: str, mode: ModeKey, members: Sequence[Member], headers: Mapping[str, str]
    ) -> list[Entry]:
        """Enter the jobs of a batch, all or none; those that are there where the owner has entered it before.

        UnavailableError, with how many would fit, for more than an owner may have waiting.
        """
        if entries := self.book.batch(owner, batch):
            return entries
        room = BUDGETS.visitor_jobs - self.book.waiting(owner)
        if len(members) > room:
            fit = f"{room} more fit" if room > 0 else "none fits"
            raise UnavailableError(
                f"{BUDGETS.visitor_jobs} jobs of yours may wait, and {BUDGETS.visitor_jobs - room} do: {fit}, not "
                f"{len(members)}; take fewer, let some end, or cancel some"
            )
        passed = passed_on(headers)
        entries = self.book.add_batch(owner, batch, mode, members, billed=bool(passed))
        self._entered(entries, passed)
        return entries

    def _entered(self, entries: Sequence[Entry], passed: Mapping[str, str]) -> None:
        for entry in entries:
            if entry.state == "waiting" and entry.id not in self._held:
                self._headers[entry.id] = passed
                self._hold(entry)
        self.advance()

    def cancel(self, owner: str, jobs: Iterable[str]) -> int:
        """End jobs of an owner that wait or run; how many there were. What runs says itself when it has ended."""
        count = 0
        for job in jobs:
            entry = self.book.entry(owner, job)
            if entry is None or not entry.alive:
                continue
            count += 1
            if (task := self._tasks.get(job)) is not None:
                self._stopping.add(job)
                task.cancel()
            else:
                self._end(job, "cancelled", Stopped(job=job))
        self.advance()
        return count

    def reorder(self, owner: str, job: str, by: int) -> None:
        """Move a waiting job by so many places among those of its owner."""
        self.book.reorder(owner, job, by)
        self.advance()

    def pause(self, owner: str, paused: bool) -> None:
        """Hold an owner's waiting jobs back, or let them go on; what runs runs on."""
        self.book.pause(owner, paused)
        self.advance()

    def ahead(self, job: str) -> int | None:
        """How many jobs come before a waiting one in its lane; None for one that waits for its owner alone."""
        return self._ahead.get(job)

    async def follow(self, owner: str | None, job: str) -> AsyncGenerator[Progress, None]:
        """What has happened to a job, from its beginning in short, and what happens on.

        Ends with its video, or raises how it ended. Closing it changes nothing. InputError for a job that this owner
        has not.
        """
        seen, told = 0, -1
        while True:
            if owner is None or (entry := self.book.entry(owner, job)) is None:
                raise InputError("job", "is not known here", hint="it may have been cleared; generate again")
            news = self._news.setdefault(job, asyncio.Event()) if entry.alive else None
            if entry.state == "waiting" and (ahead := self.ahead(job)) != told:
                told = ahead
                yield None, Queued(position=ahead, job=job, t=_since(entry.created))
            for number, event in self.book.events(job, seen):
                seen = number
                if isinstance(event, Done | Failed | Stopped):
                    self.book.saw(job)
                if isinstance(event, Failed):
                    raise event.error()
                if isinstance(event, Stopped):
                    raise Cancelled()
                if isinstance(event, Done):
                    entry = self.book.entry(owner, job)
                    yield entry and entry.video, event
                    return
                yield None, event
            if news is None:
                raise NOTHING
            beat = WAITING_BEAT_SECONDS if entry.state == "waiting" else BEAT_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(news.wait(), beat)
                continue
            yield None, Heartbeat(job=job, t=_since(entry.began or entry.created))

    # ------------------------------------------------------------------ the work

    def advance(self) -> None:
        """Begin what has its turn."""
        if self._over:
            return
        paused, busy = self.book.paused(), Counter(self._lanes.values())
        before = Counter(busy)
        ahead: dict[str, int] = {}
        at_once = lru_cache(None)(self._at_once)
        for job in self.book.line():
            lane = self._lane(job.mode)
            if job.owner in paused:
                continue
            if busy[lane] >= at_once(lane):
                ahead[job.id] = before[lane]
                before[lane] += 1
                continue
            entry = self.book.entry(job.owner, job.id)
            if entry is None or not self.book.begin(job.id):
                continue
            busy[lane] += 1
            before[lane] += 1
            self._lanes[job.id] = lane
            # In no visitor's context: what Gradio keeps there is that of whoever made room for this job.
            task = asyncio.get_running_loop().create_task(self._run(entry), context=contextvars.Context())
            self._tasks[job.id] = task
            task.add_done_callback(partial(self._left, job.id))
            self._tell(job.id)
        moved = {job for job in {*ahead, *self._ahead} if ahead.get(job) != self._ahead.get(job)}
        self._ahead = ahead
        for job in moved:
            self._tell(job)

    async def _run(self, entry: Entry) -> None:
        job = entry.id
        headers = {**self._headers.get(job, {}), OWNER: entry.owner}
        try:
            stream = self._runners[entry.mode].stream(entry.asked, headers, job)
            async with aclosing(stream) as updates:
                async for video, event in updates:
                    if isinstance(event, Done):
                        self._end(job, "done", event, video)
                        return
                    self.book.write(job, event)
                    self._tell(job)
            raise NOTHING
        except Exception as error:
            last = ending(explain(error), job)
            self._end(job, "cancelled" if isinstance(last, Stopped) else "failed", last)

    def _left(self, job: str, task: asyncio.Task[None]) -> None:
        """A job's task is over. One that is cancelled before its first moment runs nothing: it ends here."""
        if task.cancelled() and job in self._stopping:
            self._end(job, "cancelled", Stopped(job=job))
        elif task.cancelled():  # the Studio ends: this one is begun again with the next
            self._over = True
            self.book.put_back(job)
        self._tasks.pop(job, None)
        self._lanes.pop(job, None)
        self._stopping.discard(job)
        self.advance()

    def _end(self, job: str, state: State, last: Event, video: Any = None) -> None:
        self.book.end(job, state, last.of(job), video)
        self._headers.pop(job, None)
        if (held := self._held.pop(job, None)) is not None:
            held.close()
        self._tell(job)

    def _tell(self, job: str) -> None:
        if (news := self._news.pop(job, None)) is not None:
            news.set()

    def _hold(self, entry: Entry) -> None:
        # What a job was given must still be there when it is its turn.
        self._held[entry.id] = held = ExitStack()
        held.enter_context(cache.holding(books.files(entry)))


def _since(moment: float) -> float:
    return round(max(time.time() - moment, 0.0), 3)
