"""The runner whose jobs go on without the page that asked for them: entered into a line, and followed there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from common.contract import Event, Manifest, Plan, Prepared
from common.errors import InputError
from common.modes.base import Mode, drawn
from common.run.batch import Member
from common.run.line import Line
from common.run.runner import VISITOR, Progress, Runner, job_id, passed_on


class DurableRunner:
    """One more Runner, over another one's line.

    `owner` says whose a job is, by the visitor that a page names in its headers. Closing a stream leaves the job
    running; `cancel` ends it. Who owns nothing has `inner` itself: nobody could come back to such a job.
    """

    def __init__(self, inner: Runner, line: Line, owner: Callable[[object], str | None]) -> None:
        self.mode: Mode = inner.mode
        self.inner = inner
        self.line = line
        self._owner = owner

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        return await self.inner.manifest(checkpoint)

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return await self.inner.plan(values)

    async def admit(self, values: Mapping[str, Any]) -> None:
        await self.inner.admit(values)

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        async with aclosing(self.inner.prepare(values, headers)) as items:
            async for item in items:
                yield item

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        if self._of(headers) is None:
            stream = self.inner.stream(values, passed_on(headers), job)
        else:
            stream = self.follow(await self.enter(values, headers, job), headers)
        async with aclosing(stream) as updates:
            async for update in updates:
                yield update

    async def enter(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> str:
        job, owner = job_id(job), self._of(headers)
        if owner is None:
            raise InputError("visitor", "must be known, for a job to wait", hint="reload the page")
        if self.line.book.entry(owner, job) is None:  # else asked twice: a page that lost its connection
            await self.inner.admit(values)
            # A seed is drawn once: begun again after a crash, it is the same job, which goes on from what is kept.
            values = {**values, "seed": drawn(values.get("seed"))}
            self.line.add(owner, job, self.mode.key, values, headers or {})
        return job

    async def enter_batch(
        self, members: Sequence[Member], headers: Mapping[str, str] | None = None, batch: str | None = None
    ) -> list[str]:
        batch, owner = job_id(batch), self._of(headers)
        if owner is None:
            raise InputError("visitor", "must be known, for jobs to wait", hint="reload the page")
        if not (entries := self.line.book.batch(owner, batch)):
            for one in members:
                await self.inner.admit(one.values)
            entries = self.line.add_batch(owner, batch, self.mode.key, members, headers or {})
        return [entry.id for entry in entries]

    async def follow(
        self, job: str, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Progress, None]:
        async with aclosing(self.line.follow(self._of(headers), job)) as updates:
            async for update in updates:
                yield update

    def newest(self, headers: Mapping[str, str] | None = None, *, alive: bool = False) -> str | None:
        owner = self._of(headers)
        entry = None if owner is None else self.line.book.newest(owner, self.mode.key)
        return entry.id if entry and (entry.alive or not alive) else None

    def alive(self, job: str, headers: Mapping[str, str] | None = None) -> bool:
        owner = self._of(headers)
        entry = None if owner is None else self.line.book.entry(owner, job)
        return entry is not None and entry.alive

    def cancel(self, job: str, headers: Mapping[str, str] | None = None) -> bool:
        owner = self._of(headers)
        return owner is not None and self.line.cancel(owner, [job]) > 0

    def _of(self, headers: Mapping[str, str] | None) -> str | None:
        return self._owner((headers or {}).get(VISITOR, ""))
