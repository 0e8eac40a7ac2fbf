"""Runs a diffusers pipeline as a plan says, telling every step and stopping within one."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from common.catalog import CHECKPOINTS, MAX_PROMPT_TOKENS
from common.contract import Plan, Preview, Step
from common.errors import GOT_CHARACTERS, GpuError, ResultError
from common.runtime.device.backend import free_memory, out_of_memory
from common.runtime.fast import blocks, halves, shortcuts
from common.runtime.job import Job
from common.runtime.model import load
from common.runtime.sample import decode, preview, stages

log = logging.getLogger(__name__)


Pictures = Iterable[NDArray[np.uint8]]
"""Frames [height, width, 3], one by one or as one array; what comes one by one may still be decoded."""


def make(
    pipe: Any, prompt: str, plan: Plan, inputs: dict[str, Any], steps: int, job: Job, segment: int = 0
) -> Pictures:
    """The frames of a plan, or of one of its segments, which has a seed of its own.

    Scheduler, seed and guidance are set anew on each call: workers are reused in whatever state they are.
    A clip of one piece is decoded while its frames are taken.
    """
    with working(pipe, plan, segment):
        made = _make(pipe, prompt, plan, inputs, steps, job, segment)
    return made if isinstance(made, np.ndarray) else _decoded(pipe, plan, made, job)


def _decoded(pipe: Any, plan: Plan, latents: torch.Tensor, job: Job) -> Iterator[NDArray[np.uint8]]:
    assert plan.placement is not None
    pieces = decode.pictures(pipe.vae, plan.placement, latents)
    while True:
        job.check()
        with working(pipe, plan):
            piece = next(pieces, None)
        if piece is None:
            return
        yield from piece


@contextmanager
def working(pipe: Any, plan: Plan, segment: int = 0) -> Iterator[None]:
    """Without gradients, with attention as the plan has it; a full memory becomes an error with a way out."""
    try:
        with (
            torch.no_grad(),
            stages.attending(plan.placement, pipe.transformer.device.type),
            blocks.many_forms() if plan.placement and plan.placement.compile != "none" else nullcontext(),
        ):
            yield
    except RuntimeError as error:
        if type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise GpuError(
                "torch.compile failed on this machine; set WAN_SPEED=exact, which goes without it. It said: "
                + str(error).strip().splitlines()[0][:GOT_CHARACTERS]
            ) from error
        if not out_of_memory(error):
            raise
        free_memory(pipe.transformer.device.type)
        raise GpuError(
            f"Out of GPU memory at {plan.width}x{plan.height}, {plan.segments[segment].frames} frames; "
            f"try {'fewer frames or ' if len(plan.segments) == 1 else ''}a smaller size"
        ) from error


def _make(
    pipe: Any, prompt: str, plan: Plan, inputs: dict[str, Any], steps: int, job: Job, segment: int
) -> NDArray[np.uint8] | torch.Tensor:
    """Frames, or the latents of them where they are all that is made."""
    job.stage("encode", "Reading the prompt")
    placed = plan.placement
    assert placed is not None  # checked before anything was loaded
    with stages.reading(pipe, placed, pipe.transformer.device.type):
        embeds, negative = pipe.encode_prompt(
            prompt=prompt,
            negative_prompt=plan.negative_prompt,
            do_classifier_free_guidance=plan.guidance_scale > 1,
            max_sequence_length=MAX_PROMPT_TOKENS,
        )
    if (
        "boundary_ratio" in pipe.config
    ):  # where the high expert hands over: the row's word, not the repository's
        pipe.register_to_config(boundary_ratio=CHECKPOINTS[plan.checkpoint].boundary_ratio)
    optional: dict[str, Any] = {}
    if "num_frames" in inspect.signature(pipe.__call__).parameters:  # video to video counts those it is given
        optional["num_frames"] = plan.num_frames
    if plan.guidance_scale_2 is not None:
        optional["guidance_scale_2"] = plan.guidance_scale_2
    # On the CPU always: a ZeroGPU worker has no CUDA generator, and seeds mean the same everywhere.
    generator = torch.Generator("cpu").manual_seed(plan.seed + segment)
    blocks.at_step(load.transformers(pipe), 0, steps)
    watch = Watch(job, plan, steps, segment)
    arguments = {
        "prompt_embeds": embeds,
        "negative_prompt_embeds": negative,
        "height": plan.height,
        "width": plan.width,
        "num_inference_steps": plan.num_inference_steps,
        "guidance_scale": plan.guidance_scale,
        "generator": generator,
        "output_type": "pt",
        "max_sequence_length": MAX_PROMPT_TOKENS,
        "callback_on_step_end": watch,
        **optional,
        **inputs,
    }
    if not CHECKPOINTS[plan.checkpoint].segments:
        with (
            job.in_step() as ranks,
            halves.split(pipe, load.transformers(pipe), ranks, halves=placed.halves),
            _scheduler(pipe, plan, generator),
            stages.denoising(pipe, placed) as kept,
            _shortened(pipe, plan, steps) as watch.at_step,
        ):
            denoising(job, plan, steps, segment)
            watch.started = time.monotonic()  # not when the other cards were still loading
            pipe(**arguments)
        job.check()
        return kept[0]
    denoising(job, plan, steps, segment)
    with _scheduler(pipe, plan, generator), stages.sampling(pipe, placed):
        frames = pipe(**arguments).frames[0]
    if not torch.isfinite(frames).all():
        raise ResultError("The model produced invalid numbers; try another seed or fewer frames")
    job.check()
    return (frames * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()


def _shortened(pipe: Any, plan: Plan, steps: int) -> AbstractContextManager[shortcuts.AtStep]:
    placed, preset = plan.placement, CHECKPOINTS[plan.checkpoint].presets[plan.preset]
    taken = preset.shortcuts if placed and placed.shortcuts else None
    # Of halves each makes one kind of forward alone.
    both = plan.guidance_scale > 1 and not (placed and placed.halves)
    return shortcuts.taken(pipe, load.transformers(pipe), taken, steps, guided=both)


def denoising(job: Job, plan: Plan, steps: int, segment: int) -> None:
    """Begins the stage."""
    which = f" segment {segment + 1} of {len(plan.segments)}" if len(plan.segments) > 1 else ""
    job.stage("denoise", f"Denoising{which}, {steps} steps")


@contextmanager
def _scheduler(pipe: Any, plan: Plan, generator: torch.Generator) -> Iterator[None]:
    """Gives the pipeline the plan's scheduler: its own anew or, while the job runs, that of a DMD student."""
    loaded = pipe.scheduler
    preset = CHECKPOINTS[plan.checkpoint].presets[plan.preset]
    if not preset.dmd_denoising_steps:
        pipe.scheduler = fresh_scheduler(loaded, plan.flow_shift)
        yield
        return
    from common.runtime.sample.dmd import DMDScheduler  # imports diffusers, which takes seconds

    own_shift = plan.flow_shift == preset.flow_shift  # whoever asks for another gets it, evenly spaced
    steps = preset.dmd_denoising_steps if own_shift else ()
    pipe.scheduler = DMDScheduler(steps, plan.flow_shift, generator)
    try:
        yield
    finally:
        pipe.scheduler = loaded


def fresh_scheduler(old: Any, flow_shift: float) -> Any:
    """UniPC without history, for it remembers the outputs of a run that was stopped, whatever a repository names.

    diffusers' Euler would keep its own shift without a word, and run other timesteps than Lightning knows.
    """
    from diffusers import UniPCMultistepScheduler  # pyright: ignore[reportPrivateImportUsage]

    same = isinstance(old, UniPCMultistepScheduler)
    config = old.config if same else {"num_train_timesteps": old.config.num_train_timesteps}
    return UniPCMultistepScheduler.from_config(
        config, flow_shift=flow_shift, prediction_type="flow_prediction", use_flow_sigmas=True
    )


class Watch:
    """diffusers' step callback: tells progress and preview, and stops by an exception.

    `pipe._interrupt` would skip the steps but still decode. What the model believes so far is `denoised` of the
    tensors, or else what UniPC remembers.
    """

    def __init__(self, job: Job, plan: Plan, steps: int, segment: int = 0) -> None:
        self.job, self.plan, self.steps = job, plan, steps
        self.before, self.total = segment * steps, len(plan.segments) * steps
        several = len(plan.segments) > 1
        self.segment, self.segments = (segment + 1, len(plan.segments)) if several else (None, None)
        self.started = time.monotonic()
        self.done = 0
        self.can_preview = job.leads
        self.at_step: shortcuts.AtStep = lambda done: None

    def __call__(self, pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        self.job.meet()
        self.job.check()
        self.done += 1
        each = (time.monotonic() - self.started) / self.done
        index = self.before + self.done
        eta = round(each * max(self.total - index, 0), 2)
        self.job.say(
            Step(
                index=index, total=self.total, eta_seconds=eta, segment=self.segment, segments=self.segments,
                t=self.job.seconds(),
            )
        )  # fmt: skip
        if self.can_preview:
            self._preview(pipe, tensors)
        blocks.at_step(load.transformers(pipe), self.done, self.steps)
        self.at_step(self.done)
        if self.done == self.steps:
            self.job.stage("decode", "Decoding the frames")
            free_memory(pipe.transformer.device.type)  # what the steps left behind is kept for more of them
        self.job.check()
        return tensors

    def _preview(self, pipe: Any, tensors: dict[str, Any]) -> None:
        try:
            latents = tensors["denoised"] if "denoised" in tensors else pipe.scheduler.model_outputs[-1]
            # VACE and Animate put a latent frame for each reference before those of the clip.
            frames = self.plan.segments[0].frames
            latents = latents[:, :, -CHECKPOINTS[self.plan.checkpoint].sampled.latent(frames) :]
            picture = preview.render(pipe.vae, latents, frames / self.plan.fps)
        except Exception:  # a preview must never cost the job
            log.warning("preview failed", exc_info=True)
            self.can_preview = False
            return
        self.job.say(Preview(webp_base64=picture, t=self.job.seconds()))
