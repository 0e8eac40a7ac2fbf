"""Jobs through the federation: a ready place is picked, files are handed over, and failures are named."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Set
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from common.contract import (
    Backend,
    CheckpointInfo,
    Done,
    Event,
    Heartbeat,
    Manifest,
    MediaHandle,
    ModeKey,
    Notice,
    Plan,
    Prepared,
    Preview,
    Stage,
    Step,
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
from router.busy import Sent, least_busy
from router.federation import Federation, Place
from router.health import COMING_UP, WAKE_SECONDS, Watcher, best
from router.lineages import Lineages
from router.owners import Owners
from router.transfer import Traffic, deliver, keep_here
from router.visitors import owner_of

BEAT_SECONDS = 0.5
PATIENCE_SECONDS = WAKE_SECONDS + 60
"""How long a job waits for a place that is coming up; whether one wakes at all, the watcher knows sooner."""
RESUME_SECONDS = 120.0
"""How long jobs of the last Studio wait for their modes to come up."""
FIRST_ANSWERS_SECONDS = 6.0
"""A little more than a place may take to answer before it counts as down."""


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
    sent: Sent = field(default_factory=Sent)
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
        """What all places of a mode do at once; those that are mounted here do it together."""
        found = {key: [_does(s) for s in self.watcher.ready(key)] for key in MODES if self._lane(key) == lane}
        return max([1, *(sum(many) for many in found.values())])

    def name_of(self, place: Place) -> str:
        """A place as whoever has a job there may know it: a stranger is told no address of this network."""
        where = place.where if place.is_space else urlsplit(place.where).netloc
        if self.personal or place.public:
            return where
        return f"place {self.watcher.federation[place.mode].index(place) + 1}"

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
        tried, updated, why, waited = set[Place](), set[Place](), "", 0.0
        status = await self._chosen(values)
        while True:
            since = time.monotonic()
            while (status := await self._spread(values, status, tried)).state != "ready":
                waited = time.monotonic() - began
                if status.state not in COMING_UP or time.monotonic() - since > PATIENCE_SECONDS:
                    raise self._away(status)
                event = Stage(name="wake", text=f"{self.mode.title} {status.text}")
                yield None, (Heartbeat() if status.text == told else event).later(waited).of(job)
                told = status.text
                await asyncio.sleep(BEAT_SECONDS)
                studio.watcher.look()
                status = self._candidate(values, tried) or status
            waited = time.monotonic() - began if told or tried else 0.0
            place = status.place
            if why:
                text = f"{why}; the job goes on at {studio.name_of(place)}"
                yield None, Notice(text=text).later(waited).of(job)
            tried.add(place)
            stepped = False
            try:
                async with aclosing(self._at(status, values, headers, job)) as updates:
                    async for video, event in updates:
                        stepped = stepped or isinstance(event, Step | Preview | Done)
                        known = video and await self._taken(video, place, event, (headers or {}).get(OWNER))
                        yield known, event.later(waited)
                return
            except UnavailableError as error:
                studio.watcher.doubt(place)
                another = None if stepped else await self._another(values, place, tried, updated)
                if another is None:
                    raise
                status, told = another, ""
                moved = status.place != place
                why = f"{studio.name_of(place)} failed before the first step ({error.text})" if moved else ""

    async def _at(
        self, status: Status, values: Mapping[str, Any], headers: Mapping[str, str] | None, job: str
    ) -> AsyncGenerator[Progress, None]:
        """The job as one place does it; that it is there is counted, and so is every word of it."""
        studio, place = self.studio, status.place
        studio.busy[place] += 1
        studio.sent.sent(place, job)
        try:
            async with aclosing(self._remote(status).stream(values, headers, job)) as updates:
                async for update in updates:
                    studio.watcher.heard(place)
                    studio.sent.heard(place, job)
                    yield update
        finally:
            studio.busy[place] -= 1
            studio.sent.over(place, job)

    async def _taken(
        self, video: MediaHandle, place: Place, event: Event, owner: str | None
    ) -> MediaHandle:
        """A video as this router's page shows it; the finished one is kept where there is a Gallery on disk."""
        known = await self._known_here(video, place, event, owner)
        if isinstance(event, Done) and self.studio.keep is not None and owner is not None:
            await self.studio.keep(owner, known, event)
        return known

    async def _spread(self, values: Mapping[str, Any], status: Status, tried: Set[Place]) -> Status:
        """`status`, or a less busy one of the ready places; one that is not ready where all turn out not to be."""
        studio, ready = self.studio, self._ready_for(values, tried)
        if status.state != "ready" or len(ready) < 2:
            return status
        found, others = await least_busy(ready, studio.sent, studio.token_for)
        for other in others:
            studio.watcher.note(other)
        return found or best(others) or status

    async def _another(
        self, values: Mapping[str, Any], place: Place, tried: set[Place], updated: set[Place]
    ) -> Status | None:
        """Where a job may go on that has failed at `place`: another ready place, or this one once it is `updated`."""
        watcher, key = self.studio.watcher, self.mode.key
        if not self._ready_for(values, tried):
            await asyncio.to_thread(watcher.wait_asked, FIRST_ANSWERS_SECONDS, key)
            draining = any(s.place == place and s.state == "draining" for s in watcher.statuses(key))
            if draining and place not in updated:
                updated.add(place)
                tried.discard(place)
        found = self._candidate(values, tried)
        return found if found and found.state in {"ready", "draining"} else None

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
        status = await self._spread(values, await self._chosen(values), frozenset())
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

    def _candidate(self, values: Mapping[str, Any], tried: Set[Place] = frozenset()) -> Status | None:
        """A ready place for the model, the first that has least of our jobs; else the one that is nearest to it.

        None where no place is known to carry the model, or may; none of those that were `tried`.
        """
        if ready := self._ready_for(values, tried):
            return min(ready, key=lambda s: self.studio.busy[s.place])
        statuses = [s for s in self.studio.watcher.statuses(self.mode.key) if s.place not in tried]
        carriers = self._carriers(values, statuses)
        return best(carriers) or best([s for s in statuses if s.manifest is None or s.state == "skewed"])

    def _ready_for(self, values: Mapping[str, Any], tried: Set[Place]) -> list[Status]:
        """The ready places that carry the model, but those that were `tried`."""
        ready = self._carriers(values, self.studio.watcher.ready(self.mode.key))
        return [s for s in ready if s.place not in tried]

    def _carriers(self, values: Mapping[str, Any], statuses: Iterable[Status]) -> list[Status]:
        key = values.get("checkpoint") or self.known().default_checkpoint
        return [s for s in statuses if s.manifest and _carries(s.manifest, key)]

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


def _does(status: Status) -> int:
    """How many jobs a place does at once."""
    return status.manifest.jobs.at_once if status.manifest and status.manifest.jobs else 1


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
