"""Performances that training never saw, and what the real pipeline makes of them from the driving clip's pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from common.annotate.frames import BLACK, Frames, unchecked
from common.driving.nano import Nano
from nano.judge.cases import Case, Clip, as_array, cases, pil
from nano.train.flow import quality
from nano.train.world import SPINNING, Scenes, render
from nano.words import BACKGROUNDS, COLOURS, SHAPES

PROMPT = "视频中的人在做动作"
"""What the Studio says where nobody says anything: to nano one unknown word."""


@dataclass
class Act:
    """A case, the clip in which another shape goes its way, and the picture that shows how it looks."""

    case: Case
    driving: Clip
    reference: Clip


def acts(count: int, first_seed: int, *, kept: bool, size: tuple[int, int], frames: int) -> list[Act]:
    """Held-out cases; `kept` says that the driving clip's background stays, else it is the reference's."""
    return [_act(case, kept) for case in cases(count, first_seed, size, frames)]


def _act(case: Case, kept: bool) -> Act:
    dice = torch.Generator().manual_seed(case.seed + 1)

    def another(index: torch.Tensor, words: Sequence[str]) -> torch.Tensor:
        return (index + torch.randint(1, len(words), (1,), generator=dice)) % len(words)

    shown = case.scenes
    shape = another(shown.shape, SHAPES)
    if int(shown.motion[0]) == SPINNING and int(shape[0]) == 0:  # which nobody sees of a circle
        shape = shape + 1 + (shown.shape == 1)
    elsewhere = another(shown.background, BACKGROUNDS)
    driver = replace(
        shown,
        shape=shape,
        colour=another(shown.colour, COLOURS),
        background=shown.background if kept else elsewhere,
    )
    frames, height, width = case.clip.shape[:3]
    driving, _ = render(driver, frames, height, width)
    picture = replace(shown, background=elsewhere) if kept else shown
    return Act(case, as_array(driving[0]), as_array(_still(picture, height, width, dice))[0])


def _still(scenes: Scenes, height: int, width: int, dice: torch.Generator) -> torch.Tensor:
    """The shape alone, at a place and in a size of the picture's own."""
    x, y, size = torch.rand(3, generator=dice).tolist()
    spread = [
        torch.full((1, 1), value) for value in ((x - 0.5) * width / height, y - 0.5, 0.28 + 0.17 * size)
    ]
    clip, _ = render(scenes, 1, height, width, way=(*spread, torch.zeros(1, 1)))  # pyright: ignore[reportArgumentType]
    return clip[0]


def followed(driving: Clip) -> tuple[dict[str, Frames], Frames]:
    """What the tracker makes of a driving clip: the pipeline's videos, and those of `replace`."""
    maker, frames = Nano(), [pil(frame) for frame in driving]
    size = frames[0].size
    seen = maker.see(frames, unchecked)
    pose = [
        pil(frame * 0) if s is None else maker.pose(s, size, size)
        for frame, s in zip(driving, seen, strict=True)
    ]
    faces = [maker.face(f, s) if s else None for f, s in zip(frames, seen, strict=True)]
    black = pil(driving[0] * 0)
    return {"pose_video": pose, "face_video": [face or black for face in faces]}, maker.masks(
        frames, seen, unchecked
    )


def perform(pipe: Any, act: Act, *, kept: bool, carried: int = 1, frames: int = 17, **more: Any) -> Clip:
    """The pipeline's clip, in segments of `frames`."""
    settings = quality("animate")
    pipe.scheduler.register_to_config(flow_shift=settings.flow_shift)
    videos, masks = followed(act.driving)
    height, width = act.driving.shape[1:3]
    if kept:
        holes = [(f * (1 - m[..., None])) for f, m in zip(act.driving, _white(masks), strict=True)]
        videos |= {"background_video": [pil(f) for f in holes], "mask_video": masks}
    result = pipe(
        image=pil(act.reference),
        **(videos | more),
        prompt=PROMPT,
        height=height,
        width=width,
        segment_frame_length=frames,
        prev_segment_conditioning_frames=carried,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        mode="replace" if kept else "animate",
        generator=torch.Generator().manual_seed(act.case.seed),
        output_type="np",
        max_sequence_length=512,
    )
    return result.frames[0]


def _white(masks: Frames) -> list[Any]:
    return [(np.asarray(mask.convert("L")) > BLACK).astype(np.float32) for mask in masks]


def outside(act: Act) -> Any:
    """Where the driving clip has to stay, [frames, height, width]."""
    return np.stack(_white(followed(act.driving)[1])) == 0
