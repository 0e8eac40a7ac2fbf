"""Stop: a page's job is told to end and says itself that it has, so that nothing of it comes later."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import TypeVar

from common.errors import Cancelled

Item = TypeVar("Item")

REMEMBERED = 1000


class Stops:
    """The jobs of one panel's visitors, by the id that the page has drawn for each. For one event loop."""

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Event] = {}
        self._early: OrderedDict[str, None] = OrderedDict()

    def begin(self, job: str) -> asyncio.Event:
        """A job begins: what is set once it shall stop, at once for one that was stopped in the line."""
        stop = self._running[job] = asyncio.Event()
        if job in self._early:
            del self._early[job]
            stop.set()
        return stop

    def end(self, job: str) -> None:
        """A job has ended."""
        self._running.pop(job, None)

    def stop(self, job: str) -> bool:
        """Stops a job; whether it runs, and so will say by itself that it has stopped."""
        if (running := self._running.get(job)) is not None:
            running.set()
            return True
        self._early[job] = None
        while len(self._early) > REMEMBERED:
            self._early.popitem(last=False)
        return False


async def until(stop: asyncio.Event, updates: AsyncGenerator[Item]) -> AsyncGenerator[Item]:
    """What `updates` yields; Cancelled as soon as `stop` is set and `updates` has let go of its work."""
    stopping = asyncio.ensure_future(stop.wait())
    step: asyncio.Future[Item] | None = None
    try:
        while True:
            step = asyncio.ensure_future(anext(updates))
            await asyncio.wait({step, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                raise Cancelled()
            try:
                item = step.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        stopping.cancel()
        if step is not None:
            step.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration, Exception):
                await step
        await updates.aclose()
