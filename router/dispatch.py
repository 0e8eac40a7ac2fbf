"""Jobs through the federation: a ready place is picked, files are handed over, and failures are named."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from common.contract import (
    Backend,
    CheckpointInfo,
    Done,
    Event,
    Heartbeat,
    Lineage,
    Manifest,
    MediaHandle,
    ModeKey,
    Plan,
    Prepared,
    Stage,
)
from common.errors import UnavailableError
from common.modes.all import MODES
from common.modes.base import PRESETS, Mode, drawn
from common.run.book import Book
from common.run.durable import DurableRunner
from common.run.line import Line
from common.run.remote import RemoteRunner
from common.run.runner import OWNER, VISITOR, Progress, Runner, given, job_id
from common.settings import SpaceSettings
from router.asking import Status
from router.federation import Federation, Place
from router.health import COMING_UP, WAKE_SECONDS, Watcher, best
from router.owners import Owners
from router.transfer import Traffic, deliver, keep_here
from router.visitors import owner_of

REMEMBERED = 500
BEAT_SECONDS = 0.5
PATIENCE_SECONDS = WAKE_SECONDS + 60
"""How long a job waits for a place that is coming up; whether one wakes at all, the watcher knows sooner."""
RESUME_SECONDS = 120.0
"""How long jobs of the last Studio wait for their modes to come up."""
FIRST_ANSWERS_SECONDS = 6.0
"""A little more than a place may take to answer before it counts as down."""


class Lineages:
    """What recent results were made from, by their path and URL: known without opening a file.

    A page names what lies on another machine by its URL alone.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Lineage] = OrderedDict()

    def remember(self, handle: MediaHandle, lineage: Lineage) -> None:
        """Note what a file was made from; the oldest notes are forgotten."""
        self._known |= {name: lineage for name in (handle.path, handle.url) if name}
        while len(self._known) > 2 * REMEMBERED:
            self._known.popitem(last=False)

    def of(self, handle: MediaHandle) -> Lineage | None:
        """What a file was made from; None for one that a visitor uploaded, or an old one."""
        return self._known.get(handle.path)


@dataclass
class Studio:
    """What all modes of one router share. `token` reads private Spaces, and is shown to no other place.

    `personal` is a Studio on somebody's own machine, where nobody else comes. `book` has its jobs.
    """

    watcher: Watcher
    token: str | None = None
    personal: bool = False
    book: Book = field(default_factory=Book)
    traffic: Traffic = field(default_factory=Traffic)
    lineages: Lineages = field(default_factory=Lineages)
    owners: Owners = field(default_factory=Owners)
    busy: Counter[Place] = field(default_factory=lambda: Counter[Place]())
    admin: str = field(default="", repr=False)
    """The secret that modes of a personal Studio let its owner act by (WAN_ADMIN); empty where they may not."""
    keep: Callable[[str, MediaHandle, Done], Awaitable[None]] | None = None
    """Where there is a Gallery on disk: told of each result, with whose it is."""

    def __post_init__(self) -> None:
        runners: dict[ModeKey, Runner] = {key: FederatedRunner(mode, self) for key, mode in MODES.items()}
        self.line = Line(self.book, runners, lane=self._lane, at_once=self._at_once)
        for owner, video in self.book.videos():
            self.owners.note_handle(video, owner)

    @classmethod
    def over(
        cls,
        federation: Federation,
        token: str | None = None,
        *,
        personal: bool = False,
        book: Book | None = None,
        admin: str = "",
    ) -> Studio:
        """A Studio whose watcher is made, not started."""
        return cls(Watcher(federation, token=token), token, personal, book or Book(), admin=admin)

    def runner(self, mode: Mode) -> DurableRunner:
        """The runner of a mode's panel, whose jobs go on without the page."""
        return DurableRunner(FederatedRunner(mode, self), self.line, self.owner)

    async def resume(self) -> None:
        """Go on with the jobs that the last Studio has left, once their modes have answered."""
        modes: set[ModeKey] = {job.mode for job in self.book.line()}
        end = time.monotonic() + RESUME_SECONDS
        while any(not self.watcher.ready(mode) for mode in modes) and time.monotonic() < end:
            self.watcher.look()
            await asyncio.sleep(BEAT_SECONDS)
        self.line.advance()

    def _lane(self, mode: ModeKey) -> str:
        """Modes mounted here share this machine's GPU; every other has its own."""
        places = self.watcher.federation.get(mode, ())
        return "here" if places and all(place.mount for place in places) else mode

    def _at_once(self, lane: str) -> int:
        mode: ModeKey | None = next((key for key in MODES if str(key) == lane), None)
        return max(1, len(self.watcher.ready(mode))) if mode else 1

    def owner(self, visitor: object) -> str | None:
        """Whose it is what a browser with this secret asks for; see `visitors.owner_of`."""
        return owner_of(visitor, personal=self.personal)

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

        While none is ready: of those that were; what the catalog says while none has answered.
        """
        offers = self.studio.watcher.offers(self.mode.key)
        infos = {info.key: info for manifest in reversed(offers) for info in manifest.checkpoints}
        rows = self.mode.rows(list(infos))
        if not rows:
            return self._assumed
        wanted = checkpoint if checkpoint in infos else rows[0].key
        own = next(m for m in offers if _carries(m, wanted))
        return own.model_copy(
            update={
                "checkpoints": [infos[row.key] for row in rows],
                "default_checkpoint": rows[0].key,
                "presets": [p for p in PRESETS if any(p in infos[row.key].presets for row in rows)],
            }
        )

    async def plan(self, values: Mapping[str, Any]) -> Plan:
        return self.mode.plan_by(self.known(values.get("checkpoint")), values)

    async def admit(self, values: Mapping[str, Any]) -> None:
        await self._chosen(values)

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        job, studio, began, told = job_id(job), self.studio, time.monotonic(), ""
        values = {**values, "seed": drawn(values.get("seed"))}  # one, wherever the job goes
        status = await self._chosen(values)
        while status.state != "ready":
            waited = time.monotonic() - began
            if status.state not in COMING_UP or waited > PATIENCE_SECONDS:
                raise self._away(status)
            event = Stage(name="wake", text=f"{self.mode.title} {status.text}")
            yield None, (Heartbeat() if status.text == told else event).later(waited).of(job)
            told = status.text
            await asyncio.sleep(BEAT_SECONDS)
            studio.watcher.look()
            status = self._candidate(values) or status
        waited = time.monotonic() - began if told else 0.0
        place, remote = status.place, self._remote(status)
        studio.busy[place] += 1
        try:
            async with aclosing(remote.stream(values, headers, job)) as updates:
                async for video, event in updates:
                    studio.watcher.heard(place)
                    owner = (headers or {}).get(OWNER)
                    known = video and await self._known_here(video, place, event, owner)
                    if known and isinstance(event, Done) and studio.keep is not None and owner is not None:
                        await studio.keep(owner, known, event)
                    yield known, event.later(waited)
        except UnavailableError:
            studio.watcher.doubt(place)
            raise
        finally:
            studio.busy[place] -= 1

    async def prepare(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Event | Prepared, None]:
        status, owner = await self._ready(values), self.studio.owner((headers or {}).get(VISITOR))
        async with aclosing(self._remote(status).prepare(values, headers)) as items:
            async for item in items:
                self.studio.watcher.heard(status.place)
                yield await self._shown_here(item, status.place, owner) if isinstance(item, Prepared) else item

    async def _shown_here(self, made: Prepared, place: Place, owner: str | None) -> Prepared:
        clips = {name: value for name, value in made if isinstance(value, MediaHandle)}
        shown: dict[str, object] = {n: await self._known_here(c, place, None, owner) for n, c in clips.items()}
        for name, many in ((name, value) for name, value in made if isinstance(value, list)):
            here = [await self._reached(i, place) if isinstance(i, MediaHandle) else i for i in many]
            for handle in (item for item in [*many, *here] if isinstance(item, MediaHandle)):
                self.studio.owners.note_handle(handle, owner)
            shown[name] = here
        return made.model_copy(update=shown)

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
        """The ready place that a job goes to; UnavailableError for one that has to be waited for, too."""
        status = await self._chosen(values)
        if status.state != "ready":
            raise self._away(status)
        return status

    async def _chosen(self, values: Mapping[str, Any]) -> Status:
        """The place that a job goes to: ready, or coming up, and woken for it if it slept.

        A mode that is away is told before a broken rule, and both before anything is sent or woken. A program may
        come before the first page: what has never been asked is asked here.
        """
        watcher, mode = self.studio.watcher, self.mode
        if watcher.refresh(mode.key) or not watcher.ready(mode.key):
            await asyncio.to_thread(watcher.wait_asked, FIRST_ANSWERS_SECONDS, mode.key)
        status = self._candidate(values)
        if status is not None and status.state not in {"ready", "asleep", *COMING_UP}:
            raise self._away(status)
        if watcher.offers(mode.key):
            await self.plan(values)
        else:
            mode.parse(given(values))  # all that is known of a mode that has never answered
        if status is None:
            raise UnavailableError(f"{mode.title} has no place in this Studio")
        watcher.rouse(status.place)
        return self._candidate(values) or status

    def _candidate(self, values: Mapping[str, Any]) -> Status | None:
        """The least busy ready place for the model, the first of equals; else the one that is nearest to it.

        None where no place is known to carry the model, or may.
        """
        statuses = self.studio.watcher.statuses(self.mode.key)
        key = values.get("checkpoint") or self.known().default_checkpoint
        carriers = [s for s in statuses if s.manifest and _carries(s.manifest, key)]
        if ready := [s for s in carriers if s.state == "ready"]:
            return min(ready, key=lambda s: self.studio.busy[s.place])
        return best(carriers) or best([s for s in statuses if s.manifest is None or s.state == "skewed"])

    def _away(self, status: Status) -> UnavailableError:
        return UnavailableError(f"{self.mode.title} {status.text}")

    async def _known_here(
        self, video: MediaHandle, place: Place, event: object, owner: str | None
    ) -> MediaHandle:
        """The handle as this router's page shows it; its maker is remembered, and whose it is."""
        known = video.model_copy(update={"mime": "video/mp4"})
        if isinstance(event, Done):
            known = event.known(video)
        if place.mount:
            # Same machine, same cache: served from the path, whatever address the visitor came by.
            known = known.model_copy(update={"url": None})
        else:
            known = await self._reached(known, place)
        for handle in (video, known):
            self.studio.owners.note_handle(handle, owner)
        if isinstance(event, Done):
            self.studio.lineages.remember(known, event.lineage)
        return known

    async def _reached(self, handle: MediaHandle, place: Place) -> MediaHandle:
        """The handle at an address that a browser reaches, which has no token and knows no name of a service."""
        token = self.studio.token_for(place)
        if not handle.url or not (token or place.inside):
            return handle
        return await asyncio.to_thread(keep_here, handle, token or "", self.studio.traffic)


def _carries(manifest: Manifest, checkpoint: str) -> bool:
    return any(info.key == checkpoint for info in manifest.checkpoints)


def assumed(mode: Mode) -> Manifest:
    """A manifest for a mode that has not answered yet, from the catalog and this router's WAN_WEIGHTS."""
    settings = SpaceSettings.from_env({"WAN_WEIGHTS": os.environ.get("WAN_WEIGHTS", "")})
    rows = mode.offered(settings.weights)
    return Manifest(
        git_sha="",
        mode=mode.key,
        checkpoints=[CheckpointInfo.of(row) for row in rows],
        default_checkpoint=rows[0].key,
        weights=settings.weights,
        backend=Backend(),
        presets=list(PRESETS),
        fields={},
        loaded=[],
        cache_bytes=0,
        versions={},
    )
