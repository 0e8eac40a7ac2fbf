"""The runner of a mode that lives elsewhere: every job through a `gradio_client` of its own.

The rules behind it, each learnt the hard way: `/cancel` kills by session, so a shared client lets one visitor
cancel another's job; iterating a job hangs for ever when the mode dies, so the thread polls; a POST from the
event loop to its own process deadlocks, so cancel is sent from a thread; `token=None` would send this
machine's own Hub token, so it is `False` unless a token was meant.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Executor, ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
from gradio_client import Client, handle_file
from gradio_client.client import Job
from gradio_client.exceptions import AppError
from gradio_client.utils import QueueError, Status, TooManyRequestsError
from pydantic import BaseModel, ValidationError

from common.contract import (
    EVENTS,
    Event,
    Failed,
    Manifest,
    MediaHandle,
    Notice,
    Plan,
    Prepared,
    Queued,
    Stopped,
)
from common.errors import (
    Cancelled,
    GpuError,
    InputError,
    MediaError,
    StudioError,
    UnavailableError,
    WeightsError,
)
from common.modes.base import Mode
from common.run import pulse
from common.run.runner import Progress, given, job_id, passed_on

log = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=BaseModel)

POLL_SECONDS = 0.02
LIFE_SECONDS = 4.0
QUEUED_SECONDS = 0.5
CANCEL_SECONDS = 60.0
"""How long a cancel is tried: as long as the client may take to send the job at all."""
TIMEOUT = httpx.Timeout(30.0, connect=5.0, read=60.0)  # a busy mode misses heartbeats, which come every 15 s

Deliver = Callable[[MediaHandle], dict[str, Any]]
"""Turns a handle into what the mode is given for it; may move bytes, and runs in the job's own thread."""

_POOL = ThreadPoolExecutor(max_workers=256, thread_name_prefix="remote-job")


def upload(handle: MediaHandle) -> dict[str, Any]:
    """The plain way: the client uploads a local file, or passes a URL on."""
    try:
        return cast(dict[str, Any], handle_file(handle.path))
    except ValueError:
        raise MediaError("file", "does not exist", got=handle.path) from None


def ask_manifest(url: str, headers: Mapping[str, str], timeout: httpx.Timeout) -> Manifest:
    """What the mode at `url` (ending in `/`) says of itself.

    Raises httpx.HTTPError when it cannot be reached, ValueError when it answers with something else.
    """
    reply = httpx.post(
        f"{url}gradio_api/run/manifest", json={"data": []}, headers=dict(headers), timeout=timeout
    )
    return manifest_in(reply)


def manifest_in(reply: httpx.Response) -> Manifest:
    """The manifest that a mode has answered with; raises as `ask_manifest` does."""
    reply.raise_for_status()
    body: Any = reply.json()
    try:
        return Manifest.model_validate(body["data"][0])
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{reply.url} answers with no manifest") from error


@dataclass(frozen=True)
class _Call:
    """What a mode is asked, with some of the visitor's headers, and how its answers are read."""

    endpoint: str
    values: Mapping[str, Any]
    visitor: Mapping[str, str]
    read: Callable[[Sequence[Any]], Any]


class RemoteRunner:
    """Runs the jobs of one mode through its Space's API, at `url` (ending in `/`).

    `deliver` decides how media travel; what it returns is sent as it is. `token` is for private Spaces.
    """

    def __init__(
        self,
        mode: Mode,
        url: str,
        *,
        token: str | None = None,
        deliver: Deliver | None = None,
        manifest: Manifest | None = None,
        executor: Executor = _POOL,
    ) -> None:
        self.mode = mode
        self.url = url
        self._token = token
        self._deliver = deliver
        self._manifest = manifest
        self._executor = executor
        self._pulse = pulse.of(url)

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        if self._manifest is None:
            try:
                self._manifest = await asyncio.to_thread(ask_manifest, self.url, self._headers(), TIMEOUT)
            except (httpx.HTTPError, ValueError) as error:
                raise _unreachable(self.mode, error) from None
        return self._manifest

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        # Computed here with the backend that the manifest told: a label must not cost a request a keystroke.
        return self.mode.plan_by(await self.manifest(), values)

    async def admit(self, values: Mapping[str, Any]) -> None:
        await self.plan(values)

    async def asked_plan(self, values: Mapping[str, Any]) -> Plan:
        """The plan that the Space itself makes, which is the one that holds; media go there for it."""
        return await asyncio.to_thread(self._asked_plan, given(values))

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        call = _Call("/prepare", given(values), dict(headers or {}), self._prepared)
        async with aclosing(self._told(call)) as items:
            async for item in items:
                yield item

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        asked = {**given(values), "job": job_id(job)}
        call = _Call("/generate", asked, dict(headers or {}), self._progress)
        async with aclosing(self._told(call)) as items:
            async for item in items:
                yield (None, item) if isinstance(item, Queued) else item

    async def _told(self, call: _Call) -> AsyncGenerator[Any, None]:
        """What a thread of its own finds in the answers to a call."""
        loop = asyncio.get_running_loop()
        items: asyncio.Queue[tuple[Any] | BaseException | None] = asyncio.Queue()
        stop = threading.Event()

        def tell(item: tuple[Any] | BaseException | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(items.put_nowait, item)

        def work() -> None:
            try:
                self._follow(call, tell, stop)
            except BaseException as error:
                tell(error)
            finally:
                tell(None)

        self._executor.submit(work)
        try:
            while (item := await items.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item[0]
        finally:
            stop.set()  # the thread cancels the job and ends; waiting here would hold the event loop

    # ------------------------------------------------------------------ in the job's thread

    def _asked_plan(self, values: Mapping[str, Any]) -> Plan:
        media = self._media(values)
        client = self._ready_client({})
        try:
            job = client.submit(**{**values, **media}, api_name="/plan")
            _result(self.mode, job)
            return _received(self.mode, Plan, job.result())
        finally:
            client.close()

    def _headers(self, visitor: Mapping[str, str] | None = None) -> dict[str, str]:
        headers = {"authorization": f"Bearer {self._token}"} if self._token else {}
        return headers | passed_on(visitor)

    def _client(self, visitor: Mapping[str, str]) -> Client:
        try:
            return Client(
                self.url,
                token=self._token or cast(Any, False),
                verbose=False,
                headers=self._headers(visitor),
                download_files=False,
                ssl_verify=self.url.startswith("https"),
                httpx_kwargs={"timeout": TIMEOUT},
                analytics_enabled=False,
            )
        except Exception as error:  # httpx errors, ValueError for 503 and 404, JSONDecodeError for a page
            raise _unreachable(self.mode, error) from None

    def _follow(
        self, call: _Call, tell: Callable[[tuple[Any] | BaseException], None], stop: threading.Event
    ) -> None:
        media = self._media(call.values)
        client = self._ready_client(call.visitor)
        try:
            if stop.is_set():
                return
            job = client.submit(**{**call.values, **media}, api_name=call.endpoint)
            try:
                self._poll(job, call.read, tell, stop)
            except Exception as error:
                tell(error)  # first: to cancel at a mode that is frozen takes a minute
            finally:
                _cancel(job)  # nobody listens any more, for whatever reason
        finally:
            client.close()

    def _ready_client(self, visitor: Mapping[str, str]) -> Client:
        client = self._client(visitor)
        if self._deliver is not None:
            # What `deliver` returns is final; the client would upload any path a second time.
            for endpoint in client.endpoints.values():
                endpoint._upload_file = lambda f, data_index: f
        self._pulse.beat()  # it has told what it offers
        return client

    def _media(self, values: Mapping[str, Any]) -> dict[str, Any]:
        deliver = self._deliver or upload
        found: dict[str, Any] = {}
        for slot in self.mode.slots:
            value = values.get(slot.name)
            if value in (None, []):
                continue
            items = [deliver(MediaHandle.model_validate(v)) for v in (value if slot.many else [value])]
            found[slot.name] = items if slot.many else items[0]
        return found

    def _poll(
        self,
        job: Job,
        read: Callable[[Sequence[Any]], Any],
        tell: Callable[[tuple[Any] | BaseException], None],
        stop: threading.Event,
    ) -> None:
        seen, ahead, start = 0, None, time.monotonic()
        while not stop.is_set():
            done = job.done()
            waited = time.monotonic() - start
            # Every job is told that it is in the queue, also one that starts at once.
            if not seen and waited > QUEUED_SECONDS and (now := _ahead(job)) not in (None, ahead):
                ahead = now
                tell((Queued(position=ahead, t=round(waited, 3)),))
            # A copy: the client's own list grows meanwhile, and what came between two looks would be lost.
            fresh = job.outputs()[seen:]
            for output in fresh:
                if (item := read(output)) is not None:
                    tell((item,))
            if fresh:
                seen += len(fresh)
                self._pulse.beat()
            if done:
                _result(self.mode, job)
                return
            if self._pulse.lost(self._answers):
                raise UnavailableError(f"{self.mode.title} stopped answering; try again in a minute")
            time.sleep(POLL_SECONDS)

    def _progress(self, output: Sequence[Any]) -> Progress | None:
        """An answer of `/generate`."""
        video, raw = output
        event = _event(self.mode, raw)
        return event and (video and _received(self.mode, MediaHandle, video), event)

    def _prepared(self, output: Sequence[Any]) -> Event | Prepared | None:
        """An answer of `/prepare`: events, and at the end what was made."""
        *made, raw = output
        if raw is not None:
            return _event(self.mode, raw)
        kind = self.mode.prepared or Prepared
        return _received(self.mode, kind, dict(zip(kind.model_fields, made, strict=False)))

    def _answers(self) -> bool:
        try:
            ask_manifest(self.url, self._headers(), httpx.Timeout(LIFE_SECONDS))
        except (httpx.HTTPError, ValueError):
            return False
        return True


def _ahead(job: Job) -> int | None:
    """How many jobs a mode does before this one, as its queue says; None for one that does not wait."""
    status = job.status()
    if status.code is not Status.IN_QUEUE or status.rank is None:
        return None
    return status.rank + 1  # those that wait before it, and the one that runs


def _cancel(job: Job) -> None:
    """Ends a job that is not done. Before the client knows its event a cancel goes nowhere, and returns True."""
    end = time.monotonic() + CANCEL_SECONDS
    while not job.done() and time.monotonic() < end:
        if job.communicator is None or job.communicator.event_id:
            with suppress(httpx.HTTPError):  # it is tried again, or the mode is gone and the job with it
                job.cancel()
                return
        time.sleep(POLL_SECONDS)


def _result(mode: Mode, job: Job) -> None:
    """Returns when a finished job ended well; a StudioError that names what did not otherwise."""
    try:
        job.result()
    except QueueError:
        raise UnavailableError(f"too many jobs wait for {mode.title}; try again in a minute") from None
    except TooManyRequestsError:
        raise UnavailableError(f"{mode.title} is asked too often just now; try again in a minute") from None
    except (AppError, ValueError) as error:
        raise _studio_error(error) from None
    except CancelledError:  # not by us: the client says so when the stream breaks off
        raise UnavailableError(
            f"{mode.title} went away in the middle of the job; try again in a minute"
        ) from None
    except Exception as error:
        raise _unreachable(mode, error) from None


def _received(mode: Mode, model: type[Answer], raw: Any) -> Answer:
    """What a mode has answered; UnavailableError for what cannot be read as that."""
    try:
        return model.model_validate(raw)
    except ValidationError:
        log.warning("%s answered with no %s: %.500r", mode.key, model.__name__, raw)
        raise UnavailableError(
            f"{mode.title} answers in a way that this Studio cannot read; deploy both again"
        ) from None


def _event(mode: Mode, raw: Any) -> Event | None:
    """An event as received; None for one of a type that only a newer mode knows. Raises how a job ended badly."""
    name = raw.get("type") if isinstance(raw, dict) else None
    if isinstance(name, str) and name not in EVENTS:
        return None
    event = _received(mode, EVENTS[name] if isinstance(name, str) else Notice, raw)
    if isinstance(event, Failed):
        raise event.error()
    if isinstance(event, Stopped):
        raise Cancelled()
    return event


_BY_TITLE: Mapping[str, type[StudioError]] = {
    cls.title: cls for cls in (MediaError, InputError, WeightsError, GpuError, UnavailableError)
}


def _studio_error(error: Exception) -> StudioError:
    """The StudioError behind a `gr.Error` that came without a `failed` event, by its title.

    So does what Gradio refuses by itself, before a handler of ours is asked; ZeroGPU's titles become GpuError.
    """
    title, text = getattr(error, "title", "Error"), getattr(error, "message", None) or str(error)
    cls = GpuError if title.startswith("ZeroGPU") else _BY_TITLE.get(title, StudioError)
    known = cls.__new__(cls)
    StudioError.__init__(known, text, title=title)
    return known


def _unreachable(mode: Mode, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"{mode.title} cannot be reached ({type(error).__name__}); it may be starting or down, try again soon"
    )
