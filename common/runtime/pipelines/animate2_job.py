"""Runs Wan-Animate-2 as a plan says, a segment at a time, telling every step and stopping within one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from common.contract import Plan
from common.runtime.job import Job
from common.runtime.pipelines import animate2
from common.runtime.sample import generate, stages
from common.runtime.sample.segments import Frames


def make(
    pipe: Any,
    prompt: str,
    plan: Plan,
    job: Job,
    *,
    segment: int,
    image: Image.Image,
    opening: Image.Image,
    driving: Sequence[Image.Image],
    tail: Frames | None,
) -> Frames:
    """The frames [frames, height, width, 3] of a segment: see `animate2.make_segment` for the pictures."""
    placed, steps = plan.placement, plan.num_inference_steps
    assert placed is not None  # checked before anything was loaded
    with generate.working(pipe, plan, segment):
        job.stage("encode", "Reading the prompt")
        with stages.reading(pipe, placed, pipe.transformer.device.type):
            words = animate2.read(pipe, prompt, plan.negative_prompt, plan.guidance_scale)
        generate.denoising(job, plan, steps, segment)
        with stages.sampling(pipe, placed):
            return animate2.make_segment(
                pipe, words, plan, image=image, opening=opening, driving=driving, tail=tail,
                generator=torch.Generator("cpu").manual_seed(plan.seed + segment),
                callback=generate.Watch(job, plan, steps, segment),
            )  # fmt: skip
