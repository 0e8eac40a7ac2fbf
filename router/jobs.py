"""Jobs through the federation: a ready place is picked, files are handed over, and failures are named."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from common.contract import Backend, CheckpointInfo, Done, Lineage, Manifest, MediaHandle, Plan, Prepared
from common.errors import UnavailableError
from common.modes.base import PRESETS, Mode
from common.remote import RemoteRunner
from common.runner import Progress, given
from common.settings import SpaceSettings
from router.federation import Federation, Place
from router.handles import Traffic, deliver, keep_here
from router.health import Status, Watcher

REMEMBERED = 500
FIRST_ANSWERS_SECONDS = 6.0
"""A little more than a place may take to answer before it counts as down."""


class Lineages:
    """What recent results were made from, by their path: known without opening a file."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Lineage] = OrderedDict()

    def remember(self, handle: MediaHandle, lineage: Lineage) -> None:
        """Note what a file was made from; the oldest notes are forgotten."""
        self._known[handle.path] = lineage
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def of(self, handle: MediaHandle) -> Lineage | None:
        """What a file was made from; None for one that a visitor uploaded, or an old one."""
        return self._known.get(handle.path)


@dataclass
class Studio:
    """What all modes of one router share. `token` reads private Spaces, and is shown to no other place."""

    watcher: Watcher
    token: str | None = None
    traffic: Traffic = field(default_factory=Traffic)
    lineages: Lineages = field(default_factory=Lineages)
    busy: Counter[Place] = field(default_factory=lambda: Counter[Place]())

    @classmethod
    def over(cls, federation: Federation, token: str | None = None) -> Studio:
        """A Studio whose watcher is made, not started."""
        return cls(Watcher(federation, token=token), token)

    def token_for(self, place: Place | None) -> str | None:
        """What a place has to be shown, None for a public one."""
        return self.token if place is not None and self.watcher.private(place) else None


class FederatedRunner:
    """The Runner of one mode, wherever it runs just now."""

    def __init__(self, mode: Mode, studio: Studio) -> None:
        self.mode = mode
        self.studio = studio
        self._assumed = assumed(mode)

    async def manifest(self, checkpoint: str | None = None) -> Manifest:
        """`known`, for who waits."""
        return self.known(checkpoint)

    def known(self, checkpoint: str | None = None) -> Manifest:
        """The manifest of a ready place with `checkpoint`, listing the checkpoints of all ready places.

        What the catalog says while none has answered.
        """
        ready = [s.manifest for s in self.studio.watcher.ready(self.mode.key) if s.manifest]
        infos = {info.key: info for manifest in reversed(ready) for info in manifest.checkpoints}
        rows = self.mode.rows(list(infos))
        if not rows:
            return self._assumed
        wanted = checkpoint if checkpoint in infos else rows[0].key
        own = next(m for m in ready if _carries(m, wanted))
        return own.model_copy(
            update={
                "checkpoints": [infos[row.key] for row in rows],
                "default_checkpoint": rows[0].key,
                "presets": [p for p in PRESETS if any(p in infos[row.key].presets for row in rows)],
            }
        )

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        shown = self.known(values.get("checkpoint"))
        request = self.mode.parse(given(values))
        allowed = [c.key for c in shown.checkpoints]
        return self.mode.plan(request, shown.backend, weights=shown.weights, allowed=allowed)

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Progress, None]:
        status = await self._ready(values)
        place, studio, remote = status.place, self.studio, self._remote(status)
        studio.busy[place] += 1
        try:
            async with aclosing(remote.stream(values, headers)) as updates:
                async for video, event in updates:
                    studio.watcher.heard(place)
                    yield video and await self._known_here(video, place, event), event
        except UnavailableError:
            studio.watcher.doubt(place)
            raise
        finally:
            studio.busy[place] -= 1

    async def prepare(self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Prepared:
        status = await self._ready(values)
        made = await self._remote(status).prepare(values, headers)
        video, mask = [await self._known_here(clip, status.place, None) for clip in (made.video, made.mask)]
        return made.model_copy(update={"video": video, "mask": mask})

    def _remote(self, status: Status) -> RemoteRunner:
        place, url, studio = status.place, str(status.url), self.studio

        def hand_over(handle: MediaHandle) -> dict[str, Any]:
            source = studio.watcher.place_of(handle.url or handle.path)
            tokens = (studio.token_for(source), studio.token_for(place))
            return deliver(handle, source, place, url, studio.traffic, tokens=tokens)

        return RemoteRunner(
            self.mode, url, token=studio.token_for(place), deliver=hand_over, manifest=status.manifest
        )

    async def _ready(self, values: Mapping[str, Any]) -> Status:
        """The place that a job goes to: the least busy that is ready, the first of equals.

        A mode that is away is told before a broken rule, and both before anything is sent.
        """
        watcher, mode = self.studio.watcher, self.mode
        if not watcher.ready(mode.key):
            watcher.start()  # a program may come before the first page
            await asyncio.to_thread(watcher.wait_asked, FIRST_ANSWERS_SECONDS, mode.key)
        key = values.get("checkpoint") or self.known().default_checkpoint
        carriers = [s for s in watcher.statuses(mode.key) if s.manifest and _carries(s.manifest, key)]
        if ready := [s for s in carriers if s.state == "ready"]:
            await self.plan(values)
            return min(ready, key=lambda s: self.studio.busy[s.place])
        if watcher.ready(mode.key) and not carriers:
            await self.plan(values)  # says which checkpoints there are
        status = carriers[0] if carriers else watcher.status(mode.key)
        raise UnavailableError(f"{mode.title} {status.text if status else 'has no place in this Studio'}")

    async def _known_here(self, video: MediaHandle, place: Place, event: object) -> MediaHandle:
        """The handle as this router's page shows it; its maker is remembered."""
        known = video.model_copy(update={"mime": "video/mp4"})
        if isinstance(event, Done):
            plan = event.plan
            known = known.model_copy(
                update={
                    "sha256": event.sha256,
                    "width": plan.width,
                    "height": plan.height,
                    "fps": plan.fps,
                    "frames": plan.num_frames,
                    "seconds": plan.clip_seconds,
                }
            )
        if place.mount:
            # Same machine, same cache: served from the path, whatever address the visitor came by.
            known = known.model_copy(update={"url": None})
        elif known.url and (token := self.studio.token_for(place)):
            known = await asyncio.to_thread(keep_here, known, token, self.studio.traffic)
        if isinstance(event, Done):
            self.studio.lineages.remember(known, event.lineage)
        return known


def _carries(manifest: Manifest, checkpoint: str) -> bool:
    return any(info.key == checkpoint for info in manifest.checkpoints)


def assumed(mode: Mode) -> Manifest:
    """A manifest for a mode that has not answered yet, from the catalog and this router's WAN_WEIGHTS."""
    settings = SpaceSettings.from_env({"WAN_WEIGHTS": os.environ.get("WAN_WEIGHTS", "")})
    rows = mode.rows()
    return Manifest(
        git_sha="",
        mode=mode.key,
        checkpoints=[
            CheckpointInfo(
                key=r.key, name=r.name, generation=r.generation, presets=list(r.presets), moe=r.moe, fps=r.fps
            )
            for r in rows
        ],
        default_checkpoint=rows[0].key,
        weights=settings.weights,
        backend=Backend(),
        presets=list(PRESETS),
        fields={},
        loaded=[],
        cache_bytes=0,
        versions={},
    )
