"""A runner that follows a script, for tests of what stands above the seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from common.contract import Event, Manifest, Plan, Prepared
from common.errors import UnavailableError
from common.modes.base import Mode
from common.run.runner import Progress, given


class FakeRunner:
    """Follows a script of updates; `prepare` one of its own.

    An exception in a script is raised at its place. `asked` keeps the values of every stream, `closed`
    counts the streams that ended before their script did.
    """

    def __init__(
        self,
        mode: Mode,
        manifest: Manifest,
        script: Sequence[Progress | Exception],
        pause: float = 0.0,
        prepared: Sequence[Event | Prepared | Exception] = (),
    ) -> None:
        self.mode = mode
        self.script = script
        self.prepared = prepared
        self.pause = pause
        self.asked: list[dict[str, Any]] = []
        self.closed = 0
        self._manifest = manifest

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        return self._manifest

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return self.mode.plan_by(self._manifest, values)

    async def admit(self, values: Mapping[str, Any]) -> None:
        await self.plan(values)

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        for item in self.prepared:
            if isinstance(item, Exception):
                raise item
            yield item
        if not self.prepared:
            raise UnavailableError(f"{self.mode.title} makes no control media")

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
