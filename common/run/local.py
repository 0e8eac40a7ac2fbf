"""Runs the jobs of a Service of this process."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, TypeVar

from common.contract import Done, Event, Manifest, MediaHandle, Plan, Prepared
from common.errors import UnavailableError
from common.run.runner import Progress, given, job_id
from common.run.service import Preparing, Service, Update

Item = TypeVar("Item")

CLOSE_SECONDS = 10.0
"""How long a cancelled stream waits for its service to let go; services yield at least twice a second."""


class LocalRunner:
    """Runs a Service of this process: parse and plan first, then preflight and generation in a thread."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.mode = service.mode

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        return await asyncio.to_thread(self.service.manifest)

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return self.service.plan(self.mode.parse(given(values)))

    async def admit(self, values: Mapping[str, Any]) -> None:
        await self.plan(values)

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        service = self.service
        if not isinstance(service, Preparing):
            raise UnavailableError(f"{self.mode.title} makes no control media")
        request = self.mode.parse(given(values))
        plan = service.plan(request)

        def work() -> Generator[Update | Prepared, None, None]:
            made = yield from service.prepare(request, plan)
            yield made

        async with aclosing(_pumped(self.mode.key, work)) as items:
            async for item in items:
                yield item if isinstance(item, Prepared) else item[1]

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        job, request = job_id(job), self.mode.parse(given(values))
        plan = self.service.plan(request)
        work = partial(self.service.generate, request, plan)
        async with aclosing(_pumped(self.mode.key, work)) as updates:
            async for path, event in updates:
                yield _handle(path, event), event.of(job)


async def _pumped(name: str, work: Callable[[], Iterator[Item]]) -> AsyncGenerator[Item, None]:
    """What a generator yields, iterated by a thread of its own: a shared pool is full of what was cancelled.

    A running generator cannot be closed from outside ("generator already executing"): the thread that
    iterates it looks at `stop` after every item, of which there are two a second, and closes it itself.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[tuple[Item] | BaseException | None] = asyncio.Queue()
    stop = threading.Event()
    ended = asyncio.Event()

    def tell(item: tuple[Item] | BaseException | None) -> None:
        loop.call_soon_threadsafe(items.put_nowait, item)

    def pump() -> None:
        generator = work()
        try:
            for item in generator:
                if stop.is_set():
                    break
                tell((item,))
        except BaseException as error:
            tell(error)
        finally:
            if isinstance(generator, Generator):
                generator.close()
            tell(None)
            loop.call_soon_threadsafe(ended.set)

    # ZeroGPU finds the visitor's quota through context variables that Gradio sets around the handler.
    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(pump,), name=f"{name}-job", daemon=True).start()
    try:
        while (item := await items.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item[0]
    finally:
        stop.set()
        # Held until the work has let go, so that the next job in Gradio's queue finds the GPU free.
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), CLOSE_SECONDS)


def _handle(path: str | None, event: Event) -> MediaHandle | None:
    if path is None:
        return None
    video = MediaHandle(path=path, mime="video/mp4")
    return event.known(video) if isinstance(event, Done) else video
