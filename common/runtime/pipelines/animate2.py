"""Wan-Animate-2 one segment at a time, out of the blocks of diffusers' modular pipeline.

Its own loop makes all segments in one call, and neither tells a step nor can be stopped or gone on with. Here the
same blocks are put together around one segment, which is given the last frames of the one before. The two checkpoints
differ in their defaults alone (steps, guidance, scheduler), all of which a plan or repository says: both run through
the blocks of the first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from diffusers.modular_pipelines.modular_pipeline import SequentialPipelineBlocks
from diffusers.modular_pipelines.modular_pipeline_utils import InputParam
from diffusers.modular_pipelines.wan_animate_2 import before_denoise, denoise, encoders
from diffusers.modular_pipelines.wan_animate_2.modular_blocks_wan_animate_2 import (
    WanAnimate2ImageEncodeStep,
    WanAnimate2VideoEncodeStep,
)
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from common.catalog import MAX_PROMPT_TOKENS
from common.contract import Plan
from common.errors import ResultError
from common.runtime.sample.attention import compiled_flex

# The events tell what happens; bars fill the log.
denoise.tqdm = partial(tqdm, disable=True)  # pyright: ignore[reportPrivateImportUsage]

Callback = Callable[[Any, int, Tensor, dict[str, Tensor]], object]
"""Called after each step with the pipeline, the step's index, its timestep, and `latents` and `denoised` (what the
model believes so far), each [1, channels, frames, height, width]; the first latent frame is the picture's. What it
raises ends the segment."""


@dataclass(frozen=True)
class Words:
    """What the text encoder makes of a job's prompts; `reference` says what a driving video is."""

    prompt: Tensor
    negative: Tensor | None
    reference: Tensor


def read(pipe: Any, prompt: str, negative_prompt: str, guidance_scale: float) -> Words:
    """The words of a job, for all of its segments; the text encoder must be on the device."""
    found = _part(pipe, encoders.WanAnimate2TextEncoderStep())(
        prompt=prompt,
        negative_prompt=negative_prompt if guidance_scale > 1 else None,
        max_sequence_length=MAX_PROMPT_TOKENS,
    )
    return Words(*(found.get(n) for n in ("prompt_embeds", "negative_prompt_embeds", "prompt_ref_embeds")))


def make_segment(
    pipe: Any,
    words: Words,
    plan: Plan,
    *,
    image: Image.Image,
    opening: Image.Image,
    driving: Sequence[Image.Image],
    tail: NDArray[np.uint8] | None,
    generator: torch.Generator,
    callback: Callback,
) -> NDArray[np.uint8]:
    """The frames [segment, height, width, 3] of one segment, of which the first are `tail` where that is given.

    `driving` are exactly the segment's frames, `opening` is the first of the whole driving video, by which all
    segments know the performer; they and the character's picture `image` have the plan's size. `tail` are the last
    frames [carried, height, width, 3] of the segment before; None for the first.
    """
    wrong = {i.size for i in (image, opening, *driving)} - {(plan.width, plan.height)}
    if wrong:
        raise ValueError(f"pictures of {sorted(wrong)} for a plan of {plan.width}x{plan.height}")
    scheduler = fresh_scheduler(pipe.scheduler, plan.flow_shift)
    look = _part(pipe, WanAnimate2VideoEncodeStep())
    context = look(
        driving_video=[opening],
        height=plan.height,
        width=plan.width,
        segment_frame_length=len(driving),
        output="condition_clip_context",
    )
    segment = _part(pipe, _blocks(), scheduler=scheduler)
    segment.guider.guidance_scale = plan.guidance_scale  # made with these blocks, so nobody else's
    _watch(scheduler, partial(callback, segment))
    carried = 0 if tail is None else len(tail)
    device = segment._execution_device  # the transformer's own may be where its blocks wait
    try:
        with compiled_flex(device.type):
            made = segment(
                **_area(plan.width, plan.height),
                image=image,
                driving_video=[*driving],
                condition_clip_context=context,
                prompt_embeds=words.prompt,
                negative_prompt_embeds=words.negative,
                prompt_ref_embeds=words.reference,
                tail=None if tail is None else _pixels(tail).to(device),
                segment_frame_length=len(driving),
                prev_segment_conditioning_frames=carried or 1,
                num_inference_steps=plan.num_inference_steps,
                generator=generator,
                output="segment_frames",
            )[0]
    except _Raised as raised:
        raise raised.error from None
    if not torch.isfinite(made).all():
        raise ResultError("The model produced invalid numbers; try another seed or a smaller size")
    frames = _bytes(made)
    return frames if tail is None else np.concatenate([tail, frames])


def fresh_scheduler(old: Any, flow_shift: float) -> Any:
    """A repository's own scheduler without history: each of the two checkpoints is sampled by one of its own.

    That is DPM-Solver++ over flow sigmas for the first and Euler's for the distilled one, both with shift 5, by their
    scheduler_config.json (written for diffusers #14413 as what the release samples with; told by who read them).
    """
    shift = "shift" if "shift" in old.config else "flow_shift"
    return type(old).from_config(old.config, **{shift: flow_shift})


class _Segment(denoise.WanAnimate2DenoiseStep):
    """One turn of diffusers' loop over segments."""

    @property
    def loop_inputs(self) -> list[InputParam]:
        """Beside the loop's own, the last frames of the segment before, as the decoder made them."""
        return [*super().loop_inputs, InputParam("tail", type_hint=Tensor)]

    @torch.no_grad()
    def __call__(self, components: Any, state: Any) -> tuple[Any, Any]:
        block_state: Any = self.get_block_state(state)
        block_state.segment_frames = []
        block_state.out_frames = block_state.tail
        # A first segment starts from nothing, any other from the one before it: which one it is makes no difference,
        # but for where its driving frames begin, and here they are all there are.
        block_state.effective_segment = 0
        components, block_state = self.loop_step(components, block_state, k=int(block_state.tail is not None))
        self.set_block_state(state, block_state)
        return components, state


def _area(width: int, height: int) -> dict[str, int]:
    """What the blocks are to be told, so that a picture of this size keeps it.

    They take an area, and round the sides that it gives down to 16: `int(sqrt(...))` would lose as many pixels to a
    float's last bit. One column more makes either side longer, by less than those 16.
    """
    return {"width": width + 1, "height": height}


def _blocks() -> Any:
    return SequentialPipelineBlocks.from_blocks_dict(
        {
            "image_encoder": WanAnimate2ImageEncodeStep(),
            "video": encoders.WanAnimate2ProcessVideosInputStep(),
            "vae_encoder": encoders.WanAnimate2ImageVaeEncoderStep(),
            "prepare": before_denoise.WanAnimate2PrepareSegmentsStep(),
            "denoise": _Segment(),
        }
    )


def _part(pipe: Any, blocks: Any, **others: Any) -> Any:
    """A pipeline of some blocks on the parts of another, but for `others`; it has none that it does not need.

    So a text encoder that is away is not asked on which device this pipeline works.
    """
    made = type(pipe)(blocks=blocks)
    wanted = {n: getattr(pipe, n) for n in made.pretrained_component_names}
    made.update_components(**(wanted | others))
    return made


class _Raised(BaseException):
    """Carries what a callback raised past diffusers' blocks, each of which logs an Exception with its traceback."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _watch(scheduler: Any, after: Callable[[int, Tensor, dict[str, Tensor]], object]) -> None:
    """Has a scheduler call `after` at the end of each step: the blocks know no callback."""
    step = scheduler.step

    def watched(output: Tensor, timestep: Tensor, sample: Tensor, **_: Any) -> tuple[Tensor]:
        (latents,) = step(output, timestep, sample, return_dict=False)
        index = scheduler.step_index - 1
        tensors = {
            "latents": latents,
            "denoised": sample - scheduler.sigmas[index].to(sample.device) * output,
        }
        try:
            after(index, timestep, tensors)
        except Exception as error:
            raise _Raised(error) from None
        return (latents,)

    scheduler.step = watched


def _pixels(frames: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(frames).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def _bytes(pixels: Tensor) -> NDArray[np.uint8]:
    shown = ((pixels[0].float() + 1) / 2).clamp(0, 1)
    return (shown * 255).round().to(torch.uint8).permute(1, 2, 3, 0).cpu().numpy()
