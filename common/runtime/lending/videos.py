"""A server of `POST /v1/videos` (vLLM-Omni, SGLang) as an engine: it has one model, and makes that one's videos.

What it is asked for is in both servers' documentation: a text, a first picture, and the numbers of the plan.
"""

from __future__ import annotations

import io
import secrets
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from PIL import Image

from common import cache
from common.catalog import CHECKPOINTS, Checkpoint
from common.contract import Backend, ModeKey, Notice, Plan, Step
from common.errors import GpuError, InputError, StudioError, UnavailableError
from common.media.finished import Measured, measured
from common.media.write import write_copy
from common.modes.base import Mode
from common.run.runner import explain
from common.run.service import Ready
from common.runtime.device.turns import Turns
from common.runtime.job import Job, Made, work
from common.runtime.lending.lender import Borrower, Held
from common.runtime.lending.server import BROKEN, Busy, Card, Gone, Server, Unreachable
from common.runtime.zerogpu import Carried
from common.settings import SpaceSettings
from common.versions import versions

MODES: Final[tuple[ModeKey, ...]] = ("t2v", "i2v")
"""No field is documented by both for a last frame, a mask, a driving video or speech in pieces."""
LOOK = 0.5
"""Seconds between two questions how far a job is."""
PATIENCE = 60.0
"""Seconds for which a server that does not answer may still come back with its job."""
BUSY_SECONDS = 1800.0
"""How long a job waits for a place in the server's own line."""
SILENCE = 3600.0
"""Seconds in which a job neither moves on nor ends: SGLang tells no progress, and may take long."""
TRIES = 2
"""A job that takes the server down with it is not to do so for ever."""
ENDED = ("failed", "cancelled", "canceled", "deleted", "expired", "error")
OURS = ("wan-studio", "gradio", "av", "pillow")
"""Packages of ours that a video meets that was made elsewhere."""


class Videos:
    """Lends a server to engines: see `Lender`."""

    own_disk = False

    def __init__(self, settings: SpaceSettings) -> None:
        if settings.weights == "nano":
            rule = "is a server, which has Wan's own models; Wan-Nano is made here alone"
            raise InputError("WAN_ENGINE", rule, hint="start with --weights wan (WAN_WEIGHTS=wan)")
        self._server = Server(settings.engine, settings.engine_key)
        self.line = Turns(settings.replicas or 1)
        try:
            self._card = self._server.card()
        except (Unreachable, Gone, Busy):
            raise UnavailableError(
                f"no server of videos answers at {settings.engine}; start one (vllm serve MODEL --omni, "
                "sglang serve --model-path MODEL), or leave WAN_ENGINE empty"
            ) from None
        self._served = [row for row in CHECKPOINTS.values() if _is(row, self._card)]

    # ------------------------------------------------------------------ what is known of it

    @property
    def name(self) -> str:
        """Who it is. Where, no visitor need know: that stands in what is told at the start alone."""
        return self._card.name

    def serves(self, mode: Mode[Any], checkpoints: Sequence[str]) -> Sequence[str]:
        """The one that it has, where that makes this mode's videos and can be asked to."""
        found = [row.key for row in self._served if row.key in checkpoints]
        if found and mode.key in MODES:
            return found
        name = f"{self.name} at {self._server.where}"
        if not self._served:
            have = ", ".join(self._card.models[:3]) or "nothing"
            raise UnavailableError(
                f"{name} serves {have}, which is no checkpoint of the catalog; start it with one under its own "
                f"name, such as {CHECKPOINTS[checkpoints[0]].repo}, or leave WAN_ENGINE empty"
            )
        names = ", ".join(row.name for row in self._served)
        why = f"serves {names}, which is not for {mode.title}"
        if found:
            why = f"cannot be asked for {mode.title}: /v1/videos takes a text and a first picture"
        raise UnavailableError(f"{name} {why}; leave WAN_ENGINE empty for that, or start another server")

    def check(self, plan: Plan) -> None:
        """A clip that goes on would have to be joined with frames that never come here one by one."""
        if plan.continues is not None:
            rule = "is not possible where a server of others makes the videos"
            raise InputError("join", rule, hint="leave it out, and join both clips afterwards")

    def backend(self, settings: SpaceSettings, checkpoints: Sequence[str]) -> Backend:
        """Its memory is its own affair: whatever does not fit, it says itself."""
        return Backend(device="cuda", name=self.name, loras=False)

    def warm(self, borrower: Borrower) -> None:
        """It has its model already."""

    def held(self) -> list[Held]:
        """What it serves, which it loads before it answers."""
        return [Held(row.key, "wan") for row in self._served]

    def unload(self) -> None:
        """Only who has started it may."""
        raise UnavailableError(f"{self.name} keeps its model for as long as it runs; end it there")

    # ------------------------------------------------------------------ a job

    def run(self, borrower: Borrower, ready: Ready[Any]) -> Generator[Carried, None, None]:
        """The whole of a job on the server; once more where that was started anew meanwhile."""
        try:
            made = yield from work(partial(self._made, borrower, ready), Job())
            yield str(made.path), made.done
        except StudioError as error:
            yield None, error
        except Exception as error:
            yield None, explain(error)

    def _made(self, borrower: Borrower, ready: Ready[Any], job: Job) -> Made:
        fields, files = asked(borrower.mode.said(ready.request), ready, self._card.kind)
        steps = borrower.mode.denoising_steps(ready.request, ready.plan.num_inference_steps)
        card = next(self._patient(job, self._server.card))
        if card.models != self._card.models:
            have = ", ".join(card.models[:3]) or "nothing"
            raise UnavailableError(f"{self.name} serves {have} by now; start the Studio anew for it")
        for tried in range(1, TRIES + 1):
            held = self._begun(job, fields, files)
            try:
                self._watched(job, held, steps)
                return self._kept(borrower, ready, job, held)
            except Gone:
                if tried < TRIES:
                    job.say(Notice(text=f"{self.name} was started anew; the job begins again.", t=job.seconds()))
            finally:
                self._server.forget(held)
        text = f"{self.name} has lost the job twice; see its log: a smaller size or fewer frames may need less memory"
        raise GpuError(text, title="The server lost the job")

    def _begun(self, job: Job, fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes, str]]) -> str:
        job.stage("gpu", f"Asking {self.name}")
        end, waits = time.monotonic() + BUSY_SECONDS, False
        while True:
            job.check()
            try:
                return self._server.begin(fields, files)
            except Busy as busy:
                if time.monotonic() > end:
                    raise GpuError(f"{self.name} has taken no job for {BUSY_SECONDS / 60:.0f} minutes; try again "
                                   "later", title="The server is busy") from None  # fmt: skip
                if not waits:
                    job.stage("gpu", f"{self.name} is busy: waiting for a place in its line")
                waits = True
                job.stop.wait(busy.seconds)
            except Unreachable as error:
                text = f"{self.name} did not take the job ({error}); see whether it is up, then try again"
                raise GpuError(text, title="The server does not answer") from None

    def _watched(self, job: Job, held: str, steps: int) -> None:
        """Follows a job to its end, whatever its server says of it."""
        stage, reached, last = "", 0, ("", 0)
        heard = began = time.monotonic()
        for seen in self._patient(job, lambda: self._server.look(held)):
            status, progress = seen.status, seen.progress
            if (status, progress) != last:
                last, heard = (status, progress), time.monotonic()
            if status in ENDED:
                text = f"{self.name} could not make it: {seen.words or f'it says {status}'}"
                raise GpuError(text, title=BROKEN)
            now = "done" if status == "completed" else "gpu" if status in ("queued", "pending") else "denoise"
            if now != stage and now != "done":
                began = time.monotonic()
                words = "makes the video" if now == "denoise" else "has the job in its own line"
                job.stage(now, f"{self.name} {words}")
            stage = now
            step = steps if now == "done" else min(progress * steps // 100, steps - 1)
            if step > reached:  # it never goes back, whatever a server says
                left = (time.monotonic() - began) / step * (steps - step)
                reached = step
                job.say(Step(index=step, total=steps, eta_seconds=round(left, 1), t=job.seconds()))
            if now == "done":
                return
            if time.monotonic() - heard > SILENCE:
                text = f"{self.name} has told nothing new for {SILENCE / 60:.0f} minutes; see its log"
                raise GpuError(text, title="The server fell silent")
            job.stop.wait(LOOK)

    def _kept(self, borrower: Borrower, ready: Ready[Any], job: Job, held: str) -> Made:
        job.stage("save", "Fetching the video")
        part = cache.results() / f".{secrets.token_hex(8)}.part"
        try:
            with cache.holding([str(part)]):
                next(self._patient(job, lambda: self._server.fetch(held, part, job.check)))
                plan = self._as_it_is(ready.plan, measured(part), job)
                made_by = {name: value for name, value in versions().items() if name in OURS}
                made_by[self._card.kind or "server"] = self._card.version or "unknown"
                ready = replace(ready, plan=plan)
                return borrower.keep(ready, job, partial(write_copy, part), made_by)
        finally:
            part.unlink(missing_ok=True)

    def _as_it_is(self, plan: Plan, video: Measured, job: Job) -> Plan:
        """The plan of what came, which should be what was asked for."""
        wanted = Measured(plan.width, plan.height, plan.num_frames, float(plan.fps))
        if video != wanted:
            job.note(f"{self.name} made {video}, not {wanted}.")
        return plan.model_copy(
            update={
                "width": video.width, "height": video.height, "num_frames": video.frames,
                "fps": round(video.fps) or plan.fps, "clip_seconds": round(video.frames / video.fps, 3),
                "placement": None,  # how it was done there, nobody knows
            }
        )  # fmt: skip

    def _patient(self, job: Job, ask: Any) -> Generator[Any, None, None]:
        """What a server answers, again and again; asked once more where it could not be reached."""
        cut: float | None = None
        while True:
            job.check()
            try:
                answer = ask()
            except (Unreachable, Busy) as error:
                cut = cut or time.monotonic()
                if time.monotonic() - cut > PATIENCE:
                    text = f"{self.name} has not answered for {PATIENCE:.0f} s ({error}); see whether it is up"
                    raise GpuError(text, title="The server does not answer") from None
                job.stop.wait(LOOK)
                continue
            cut = None
            yield answer


def asked(
    prompt: str, ready: Ready[Any], kind: str
) -> tuple[dict[str, str], dict[str, tuple[str, bytes, str]]]:
    """The form of a job: its fields, and its files as name, bytes and type."""
    plan = ready.plan
    checkpoint = CHECKPOINTS[plan.checkpoint]
    values: dict[str, Any] = {
        "prompt": prompt, "negative_prompt": plan.negative_prompt, "size": f"{plan.width}x{plan.height}",
        "num_frames": plan.num_frames, "fps": plan.fps, "num_inference_steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale, "guidance_scale_2": plan.guidance_scale_2,
        "flow_shift": plan.flow_shift, "seed": plan.seed,
    }  # fmt: skip
    if kind in ("vllm-omni", "vllm"):  # SGLang has it from the model, and no field for it
        values["boundary_ratio"] = checkpoint.boundary_ratio
    files: dict[str, tuple[str, bytes, str]] = {}
    picture = ready.inputs.get("image")
    if isinstance(picture, Image.Image):
        file = io.BytesIO()
        picture.save(file, "PNG")
        files["input_reference"] = ("image.png", file.getvalue(), "image/png")
    return {name: str(value) for name, value in values.items() if value is not None}, files


def _is(row: Checkpoint, card: Card) -> bool:
    """By the last part of its name: a server may have it from a folder."""
    return any(Path(name.rstrip("/")).name.lower() == Path(row.repo).name.lower() for name in card.models)
