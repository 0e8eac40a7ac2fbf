"""One mode at work on one machine: plans, checks inputs, makes videos, says what it has."""

from __future__ import annotations

import secrets
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from common import cache, placement
from common.catalog import CHECKPOINTS, Checkpoint, Weights
from common.contract import (
    CheckpointInfo,
    Done,
    Lineage,
    Manifest,
    MediaHandle,
    Parent,
    Placement,
    Plan,
)
from common.errors import DiskError, InputError, StudioError, UnavailableError
from common.media import files
from common.media.lineage import bounded, parent
from common.media.sound import Samples
from common.media.write import write_pictures
from common.memory import Shape
from common.modes.base import PRESETS, Asked, MediaSlot, Mode
from common.run.runner import explain
from common.run.service import Ready, Update
from common.runtime.crew import leader
from common.runtime.device import backend as machine
from common.runtime.device.seat import seat_of
from common.runtime.fast import packages
from common.runtime.job import Job, Made, in_turn, since, work
from common.runtime.lending.choice import lender_of
from common.runtime.model import load, lora, settle, stock, weights
from common.runtime.reader import Reader
from common.runtime.sample import generate, preview, selfcheck
from common.runtime.stocked import Stocked
from common.runtime.zerogpu import Carried, followed
from common.settings import SpaceSettings, git_sha
from common.versions import versions
from nano import sums

Result = TypeVar("Result")


class Engine(Stocked, ABC, Generic[Asked]):
    """A `common.run.service.Service`; each mode's Space makes one of it by saying what is its own.

    That is the mode, the diffusers pipeline, its `inputs`, and where it differs how frames are made of them (`make`).
    """

    mode: Mode[Asked]
    pipeline: ClassVar[str]
    """The pipeline's class in diffusers, by name: importing it takes seconds."""

    def __init__(self, settings: SpaceSettings) -> None:
        rows = self.mode.offered(settings.weights, settings.checkpoints)
        if not rows:
            raise InputError("WAN_CHECKPOINTS", f"has no checkpoint for {self.mode.key}")
        self.settings = settings
        self.pool = lender_of(settings)
        keys = [row.key for row in rows]
        if self.pool:
            keys = list(self.pool.serves(self.mode, keys))
        self.backend = self.pool.backend(settings, keys) if self.pool else machine.detect(settings, keys[0])
        self.seat = seat_of(self.backend.device)
        self.line = self.pool.line if self.pool else self.seat.line
        # On ZeroGPU what is parked on the GPU moves with every new worker: one checkpoint a Space.
        self.allowed = tuple(keys[: 1 if self.backend.gpu_size else None])
        if settings.weights == "wan" and self.pool is None:
            mounted = weights.in_8_bits(self.mode.rows(self.allowed))
            self.backend = self.backend.model_copy(update={"in_8_bits": mounted})
        self._revisions: dict[str, str] = {}
        self.on_gpu: Callable[[Ready[Asked]], Iterator[Carried]] = self.run
        if self.pool is not None:
            self.on_gpu = partial(self.pool.run, self)

    @abstractmethod
    def inputs(self, request: Asked, plan: Plan, reader: Reader) -> dict[str, Any]:
        """The pipeline's own arguments beside text; opens media, notes what it changed, loads no model."""

    def make(self, pipe: Any, ready: Ready[Asked], steps: int, job: Job) -> generate.Pictures:
        """The frames of a job: here a mode may bring a loop of its own."""
        prompt = self.mode.said(ready.request)
        return generate.make(pipe, prompt, ready.plan, ready.inputs, steps, job, ready.segment)

    def sound(self, ready: Ready[Asked]) -> Samples | None:
        """What is heard with the video, where a mode has something to hear."""
        return None

    # ------------------------------------------------------------------ the service

    def plan(self, request: Asked) -> Plan:
        """The plan on this machine; InputError for a rule broken."""
        plan = self.mode.plan(request, self.backend, weights=self.settings.weights, allowed=self.allowed)
        if self.pool:
            self.pool.check(plan)
        return plan

    def generate(self, request: Asked, plan: Plan) -> Iterator[Update]:
        """Makes the video through the Space's GPU function; raises what went wrong there."""
        return self.turn(request, plan, self._made)

    def turn(
        self,
        request: Asked,
        plan: Plan,
        then: Callable[[Ready[Asked], Job], Generator[Update, None, Result]],
    ) -> Generator[Update, None, Result]:
        """The whole of a job: its media are checked at once, and opened in its turn; then comes `then`.

        What is wrong with a file is told to who brought it, not to who has waited.
        """
        job = Job()
        with stock.using(plan.checkpoint), self._reading(request, job) as reader:
            request, plan = yield from work(lambda _: self._checked(request, plan, reader), job)
            leave = yield from in_turn(self.line, job)
            try:
                ready = yield from work(lambda _: self._opened(request, plan, reader), job)
                return (yield from then(ready, job))
            finally:
                leave()

    def preflight(self, request: Asked, plan: Plan, job: Job) -> Ready[Asked]:
        """All that comes before the GPU, without a turn."""
        with self._reading(request, job) as reader:
            return self._opened(*self._checked(request, plan, reader), reader)

    def manifest(self) -> Manifest:
        """What this Space is and has."""
        rows = self.mode.rows(self.allowed)
        loaded = [r.key for r in rows if self.is_loaded(r.key)]
        return Manifest(
            git_sha=git_sha(),
            mode=self.mode.key,
            checkpoints=[
                CheckpointInfo.of(row, self._revision(row.key), stock.of(row, self.settings.weights)) for row in rows
            ],
            default_checkpoint=rows[0].key,
            weights=self.settings.weights,
            backend=self.backend,
            presets=[p for p in PRESETS if any(p in r.presets for r in rows)],
            fields=self.mode.request_type.model_json_schema(),
            loaded=loaded,
            cache_bytes=_bytes(_made()),
            versions=versions(),
            loras=self.loras(rows),
            administered=bool(self.admin),
            jobs=self.jobs(),
        )  # fmt: skip

    def reads(self, ready: Ready[Asked]) -> Iterable[Path]:
        """Files of the cache that the GPU's part of a job opens beside its inputs: it may see another disk."""
        return ()

    def writes(self, ready: Ready[Asked]) -> Iterable[Path]:
        """Files of the cache that this part has left behind beside the video."""
        return ()

    # ------------------------------------------------------------------ what the Space's app.py calls

    def duration(self, ready: Ready[Asked]) -> int:
        """For `@spaces.GPU(duration=)`: called in the parent with the arguments of the function."""
        return ready.plan.gpu_duration

    def run(self, ready: Ready[Asked]) -> Iterator[Carried]:
        """The body of the GPU function. Closing it stops the job within a step."""
        try:
            made = yield from work(partial(self._work, ready), Job())
            if made is not None:
                yield str(made.path), made.done
        except StudioError as error:
            yield None, error
        except Exception as error:
            yield None, (told := explain(error))
            if not isinstance(told, DiskError):
                raise  # nobody knows in what state this worker is: ZeroGPU ends it for that

    def follow(self, ready: Ready[Asked], job: Job) -> None:
        """What another process does of a job that several cards make: all but decoding, writing and telling."""
        self._sampled(ready, job)

    def warm(self) -> None:
        """Imports diffusers in the background (about 6 s), so that the first video need not wait for it."""
        if self.pool is not None:
            self.pool.warm(self)
        elif self.works_here:
            threading.Thread(target=load.pipeline_class, args=(self.pipeline,), daemon=True).start()

    def park(self) -> None:
        """Loads the one resident checkpoint with its LoRAs: at import, so that ZeroGPU packs it."""
        checkpoint = CHECKPOINTS[self.allowed[0]]
        weights = self.settings.weights
        job = self.mode.job(Shape(*_first(checkpoint, weights)))
        found = placement.possible(checkpoint, weights, self.backend, job)
        if not found:
            raise UnavailableError(placement.shortage(checkpoint, weights, self.backend, job))
        size, frames = found[0]
        shape = Shape(size.width, size.height, frames)
        placed = placement.place(checkpoint, weights, self.backend, self.mode.job(shape))
        assert placed is not None  # `possible` has seen it fit
        self._pipe(checkpoint.key, placed, print)

    def clear_cache(self) -> int:
        """Deletes the videos and controls made here, but for what a waiting job has yet to read; bytes freed."""
        files = [file for file in _made() if not cache.held(file)]
        freed = _bytes(files)
        for file in files:
            file.unlink(missing_ok=True)
        for folder in {f.parent for f in files} - {cache.results()}:
            with suppress(OSError):  # somebody else's file is in it
                folder.rmdir()
        return freed

    # ------------------------------------------------------------------ the media

    @contextmanager
    def _reading(self, request: Asked, job: Job) -> Iterator[Reader]:
        with Reader(job) as reader, cache.holding(handle.path for _, handle in self.mode.media(request)):
            yield reader

    def _checked(self, request: Asked, plan: Plan, reader: Reader) -> tuple[Asked, Plan]:
        """The request with its media measured, and the plan that knows how long they are.

        Refuses a checkpoint that this machine cannot hold, before it is downloaded, and a job without room for its
        result.
        """
        self._check_fit(request, plan)
        cache.check_free()
        if media_in := self.mode.media(request):
            reader.stage("Checking the media")
            request = self._measured(request, media_in, reader)
            plan = self.plan(request.model_copy(update={"seed": plan.seed}))  # the seed is drawn once
            self._check_fit(request, plan)
        for text in plan.notices:
            reader.note(text)
        return request, plan

    def _opened(self, request: Asked, plan: Plan, reader: Reader) -> Ready[Asked]:
        """What the pipeline is given, each medium decoded once."""
        if self.mode.media(request):
            reader.stage("Opening the media")
        return Ready(request, plan, self.inputs(request, plan, reader), self._parents(request))

    # ------------------------------------------------------------------ the work

    def _made(self, ready: Ready[Asked], job: Job) -> Generator[Update, None, None]:
        began = job.seconds()
        carried = followed(lambda: self.on_gpu(ready)) if self.backend.gpu_size else self.on_gpu(ready)
        try:
            for path, item in carried:
                if isinstance(item, StudioError):
                    raise item
                yield path, since(began, item)
        finally:
            if isinstance(carried, Generator):
                carried.close()

    def _work(self, ready: Ready[Asked], job: Job) -> Made | None:
        return self._written(ready, self._sampled(ready, job), job)

    def _sampled(self, ready: Ready[Asked], job: Job) -> generate.Pictures:
        with leader.shared(self, ready, job, self.backend.device):
            return self._made_here(ready, job)

    def _made_here(self, ready: Ready[Asked], job: Job) -> generate.Pictures:
        request, plan = ready.request, ready.plan
        checkpoint = CHECKPOINTS[plan.checkpoint]
        job.stage("load", f"Loading {checkpoint.name}")
        assert plan.placement is not None  # checked before the line
        offline = self.backend.gpu_size is not None  # all was fetched when the Space started
        pipe = self._pipe(plan.checkpoint, plan.placement, None if offline else job.note)
        job.check()
        lora.apply(pipe, plan, checkpoint, self.settings.weights, job.note, offline=offline)
        steps = self.mode.denoising_steps(request, plan.num_inference_steps)
        return self.make(pipe, ready, steps, job)

    def _written(self, ready: Ready[Asked], frames: generate.Pictures, job: Job) -> Made:
        plan = ready.plan

        def write(path: Path, lineage: Lineage) -> None:
            size = plan.width, plan.height
            write_pictures(_told(frames, job), size, plan.fps, path, lineage, self.sound(ready))

        return self.keep(ready, job, write)

    def keep(
        self,
        ready: Ready[Asked],
        job: Job,
        write: Callable[[Path, Lineage], object],
        made_by: Mapping[str, str] | None = None,
    ) -> Made:
        """The video of a job, which `write` writes; `made_by` are the versions of what has made it elsewhere."""
        plan = ready.plan
        lineage = self._lineage(ready)
        if made_by is not None:
            lineage = lineage.model_copy(update={"versions": made_by})
        # In a folder that nobody can guess: who can name a result may use it.
        draft = cache.results() / secrets.token_hex(16) / f".{plan.mode}-{plan.seed}.mp4"
        write(draft, lineage)
        digest = files.sha256(draft)
        path = draft.replace(draft.with_name(f"{plan.mode}-{plan.seed}-{digest[:8]}.mp4"))
        done = Done(
            plan=plan, seed=plan.seed, seconds=job.seconds(), lineage=lineage, sha256=digest, t=job.seconds()
        )
        return Made(path, done)

    def _check_fit(self, request: Asked, plan: Plan) -> None:
        """InputError, with the largest that would fit, before a download or a GPU second."""
        if plan.placement is not None:
            return
        weights, backend = self.settings.weights, self.backend
        shape = Shape(
            plan.width, plan.height, max(s.frames for s in plan.segments), self.mode.references(request)
        )

        def fits(row: Checkpoint) -> bool:
            try:  # it may not have this size, or this length
                return self.plan(request.model_copy(update={"checkpoint": row.key})).placement is not None
            except InputError:
                return False

        checkpoint = CHECKPOINTS[plan.checkpoint]
        smaller = [row.key for row in self.mode.rows(self.allowed) if fits(row)]
        why = placement.shortage(checkpoint, weights, backend, self.mode.job(shape))
        raise InputError(
            "checkpoint",
            f"must fit into this machine's memory: {why}",
            hint="try " + (", ".join(smaller) or "a larger machine, or --weights nano"),
        )

    def _key(self, checkpoint: str, placed: Placement) -> tuple[str, ...]:
        form = (placed.precision["transformer"], placed.compile, "group" if placed.offload == "group" else "whole")
        return (checkpoint, self.settings.weights, *form)

    def _revision(self, checkpoint: str) -> str:
        """Of the weights as they were loaded last."""
        if self.settings.weights == "nano":
            return sums.revision()
        elsewhere = (held.revision for held in self.held() if held.checkpoint == checkpoint)
        return self._revisions.get(checkpoint, "") or next(elsewhere, "")

    def _pipe(self, key: str, placed: Placement, say: weights.Say) -> Any:
        def build(other: Any) -> Any:
            checkpoint, kind = CHECKPOINTS[key], self.settings.weights
            selfcheck.before_loading(self.backend.device, say)
            folder = weights.resolve(checkpoint, kind, say)
            waiting = settle.waiting(placed, self.backend)
            pipe = load.build(pipeline, folder, self.backend, self.seat.residency, waiting, kind, other)
            if other is None:
                if waiting or placed.compile != "none":
                    self._attach_all(pipe, checkpoint, say)
                if placed.compile != "none" and weights.is_mounted(folder):
                    self._take_compiled(folder, say)
                settle.settle(pipe, placed, self.backend)
            if self.backend.gpu_size is None:  # on ZeroGPU only a worker has a GPU to encode with
                preview.prepare(pipe.vae)
            self._revisions[key] = weights.revision(folder, kind)
            return pipe

        pipeline = CHECKPOINTS[key].pipeline or self.pipeline
        return self.seat.residency.get(self._key(key, placed), pipeline, build)

    def _take_compiled(self, folder: Path, say: weights.Say) -> None:
        if (notice := packages.take(folder)) and say is not None:
            say(notice)

    def _attach_all(self, pipe: Any, checkpoint: Checkpoint, say: weights.Say) -> None:
        for key in checkpoint.attachable(self.settings.weights):
            lora.attach(pipe, key, checkpoint, self.settings.weights, say)

    def _measured(
        self, request: Asked, media_in: list[tuple[MediaSlot, MediaHandle]], reader: Reader
    ) -> Asked:
        filled: dict[str, Any] = {}
        for slot, handle in media_in:
            known = reader.measured(handle, slot.name, slot.kind)
            if slot.many:
                filled.setdefault(slot.name, []).append(known)
            else:
                filled[slot.name] = known
        return request.model_copy(update=filled)

    def _parents(self, request: Asked) -> tuple[Parent, ...]:
        """Where the media came from: read with the rest, for nobody promises that they outlive the job."""
        return tuple(bounded([parent(handle, slot.name) for slot, handle in self.mode.media(request)]))

    def _lineage(self, ready: Ready[Asked]) -> Lineage:
        # Paths name a user's folders: the parents' hashes say what the media were.
        hidden = {s.name for s in self.mode.slots}
        return Lineage(
            request=ready.request.model_dump(mode="json", exclude=hidden, exclude_none=True),
            plan=ready.plan,
            seed=ready.plan.seed,
            versions=versions(),
            git_sha=git_sha(),
            revision=self._revision(ready.plan.checkpoint),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            parents=list(ready.parents),
        )


def _told(frames: generate.Pictures, job: Job) -> generate.Pictures:
    """They are written from the first one on, which may have to be decoded before."""
    for number, frame in enumerate(frames):
        if number == 0:
            job.stage("save", "Writing the video")
        yield frame


def _first(checkpoint: Checkpoint, weights: Weights) -> tuple[int, int, int]:
    size = checkpoint.sizes(weights)[0]
    return size.width, size.height, checkpoint.at_once(weights)


def _made() -> list[Path]:
    # Not the parts (*.part, .making-*) that a running job writes just now.
    root, wanted = cache.results(), (".mp4", ".mkv", ".png", ".json", ".npy", ".npz")
    found = [f for f in root.rglob("*") if f.suffix in wanted and f.is_file()]
    return [f for f in found if not f.relative_to(root).as_posix().count("/.")]


def _bytes(files: Iterable[Path]) -> int:
    total = 0
    for file in files:
        with suppress(FileNotFoundError):  # a job has given it its last name meanwhile
            total += file.stat().st_size
    return total
