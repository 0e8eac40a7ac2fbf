"""The seam that panels and pages talk to: ask a mode for its plan, then follow a job to its video.

LocalRunner drives a `Service` of this process, FakeRunner follows a script. All three methods are async, so
that no handler holds one of Gradio's few threads while a video is made.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import secrets
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID, uuid4

from common.contract import Done, Event, Failed, Manifest, MediaHandle, Plan, Prepared, Stopped
from common.errors import Cancelled, InputError, StudioError, UnavailableError, disk_error, quoted
from common.modes.base import Mode
from common.service import Preparing, Service, Update

log = logging.getLogger(__name__)

Progress = tuple[MediaHandle | None, Event]
"""What a stream yields: the finished video (None until `done`) and an event."""

Item = TypeVar("Item")

CLOSE_SECONDS = 10.0
"""How long a cancelled stream waits for its service to let go; services yield at least twice a second."""


class Runner(Protocol):
    """Whoever runs the jobs of one mode, here or elsewhere. Every method may raise StudioError."""

    mode: Mode

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        """What the mode's Space says of itself.

        Where several Spaces serve a mode: weights and machine of the one that runs `checkpoint` (the default
        where it is None), and the checkpoints of all.
        """
        ...

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        """What these values would do."""
        ...

    def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        """Make the control media of these values alone, for modes that make some (VACE, Animate).

        Yields events, then what was made. Closing or cancelling it cancels the work.
        """
        ...

    def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        """Run a job. Closing or cancelling the stream cancels it; a failure is raised.

        `headers` are those of the visitor's own request, for a runner that passes some of them on. `job` is the id
        that its events carry, a UUID; a new one where it is None.
        """
        ...


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Only what the caller set: None is the contract's word for "the default"."""
    return {name: value for name, value in values.items() if value is not None}


def explain(error: BaseException) -> StudioError:
    """Any failure as an error that a user can read; keeps the title of a `gr.Error` (ZeroGPU's quota…)."""
    if isinstance(error, StudioError):
        return error
    if isinstance(error, OSError) and (known := disk_error(error)):
        return known
    title, message = getattr(error, "title", None), getattr(error, "message", None)
    if isinstance(title, str) and isinstance(message, str):
        return StudioError(message, title=title)
    # Raw text of an exception names paths and insides: it goes to the log, under a number that a user can quote.
    number = secrets.token_hex(4)
    log.error("unexpected, shown as %s", number, exc_info=error)
    return StudioError(
        f"{type(error).__name__}, which nobody expected; the log has it as {number}",
        title="Something went wrong",
    )


def job_id(asked: object = None) -> str:
    """The id of a job: the caller's own, or a new one. InputError for what is no UUID."""
    if asked in (None, ""):
        return str(uuid4())
    try:
        return str(UUID(str(asked)))
    except ValueError:
        raise InputError(
            "job", "must be a UUID", got=quoted(asked), hint="leave it out for a new one"
        ) from None


def ending(error: StudioError, job: str) -> Failed | Stopped:
    """The last event of a job that ended with this error."""
    if isinstance(error, Cancelled):
        return Stopped(job=job)
    return Failed.model_validate({**error.facts(), "job": job})


class LocalRunner:
    """Runs a Service of this process: parse and plan first, then preflight and generation in a thread."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.mode = service.mode

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        return await asyncio.to_thread(self.service.manifest)

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return self.service.plan(self.mode.parse(given(values)))

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


class FakeRunner:
    """Follows a script of updates, for tests of what stands above the seam.

    An exception in the script is raised at its place. `asked` keeps the values of every stream, `closed`
    counts the streams that ended before their script did.
    """

    def __init__(
        self, mode: Mode, manifest: Manifest, script: Sequence[Progress | Exception], pause: float = 0.0
    ) -> None:
        self.mode = mode
        self.script = script
        self.pause = pause
        self.asked: list[dict[str, Any]] = []
        self.closed = 0
        self._manifest = manifest

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        return self._manifest

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return self.mode.plan_by(self._manifest, values)

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        raise UnavailableError(f"{self.mode.title} makes no control media")
        yield

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        self.asked.append(given(values))
        ended = False
        try:
            for item in self.script:
                await asyncio.sleep(self.pause)
                if isinstance(item, Exception):
                    ended = True
                    raise item
                yield item
            ended = True
        finally:
            self.closed += not ended
