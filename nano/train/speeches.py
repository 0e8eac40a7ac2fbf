"""Speeches for S2V to learn: a shape stands where its picture has it, or goes where poses lead it, and swells with
what is heard."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from common.speech import NANO_CLIPS, SAMPLE_RATE
from nano.train.hearing import hear
from nano.train.performances import figures, jittered, worn
from nano.train.sounds import random_sounds
from nano.train.world import STILL, Scenes, Way, random_scenes, render

GROWTH = 0.6
"""How much larger than in its picture a shape is when it is fully loud."""


@dataclass
class Speech:
    """A batch of clips: what the pipeline is given, and what it should make of it; pixels in −1…1."""

    scenes: Scenes
    audio: Tensor  # [n, layers, channels, frames of a clip]
    picture: Tensor  # [n, 3, h, w]
    before: Tensor
    """The tail [n, 3, law.motion, h, w] of a later clip, or the picture [n, 3, 1, h, w] of a first one."""
    clip: Tensor
    cover: Tensor
    later: bool
    poses: Tensor | None
    """nano's figure for each frame of the clip, black once it has ended; or none."""


def pulsing(scenes: Scenes, loud: Tensor) -> Way:
    """Where the shapes are, and how large, in each frame of `loud` [n, frames]."""
    where = scenes.x[:, None].expand_as(loud), scenes.y[:, None].expand_as(loud)
    return (*where, scenes.radius[:, None] * (1 + GROWTH * loud), torch.zeros_like(loud))


def still_scenes(
    count: int,
    aspect: float,
    device: str | torch.device,
    *,
    held_out: bool = False,
    generator: torch.Generator | None = None,
) -> Scenes:
    """Shapes that stand anywhere; most of them have room to swell."""
    scenes = random_scenes(count, aspect, held_out=held_out, device=device, generator=generator)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=device, generator=generator)

    radius = torch.where(scenes.size == 1, uniform(0.18, 0.40) * min(1.0, aspect) ** 0.5, scenes.radius)
    anywhere = uniform(0, 1) < 0.15

    def placed(extent: float) -> Tensor:
        room = torch.where(anywhere, 0.7 * extent, extent - 1.1 * (1 + GROWTH) * radius)
        return uniform(-1, 1) * room.clamp(min=0.08)

    # Whatever is said to move, what is heard moves: half of the sentences say that it stands still.
    motion = torch.where(uniform(0, 1) < 0.5, STILL, scenes.motion)
    return replace(scenes, motion=motion, radius=radius, x=placed(aspect), y=placed(1.0))


def led(scenes: Scenes, frames: int, held: int, aspect: float) -> tuple[Tensor, Tensor, Tensor]:
    """x and y [n, frames] of shapes that are led somewhere, and in which frames they are: some only for a while, and
    there they stay. In the first `held` frames nobody moves.
    """
    device, count = scenes.x.device, len(scenes)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, device=device)

    number = (torch.arange(frames, device=device)[None] - held).clamp(min=0)
    ends = torch.where(uniform(0, 1) < 0.15, (uniform(0, 1) * frames).long(), frames)
    t = torch.minimum(number, (ends - 1).clamp(min=0)) / (frames - 1 - held)
    stays = (uniform(0, 1) < 0.5) | (ends == 0)
    there: list[Tensor] = []
    for place, extent in ((scenes.x[:, None], aspect), (scenes.y[:, None], 1.0)):
        first = torch.where(stays, place, uniform(-0.7, 0.7) * extent)
        there.append(first + (uniform(-0.7, 0.7) * extent - first) * t)
    return there[0], there[1], number < ends


def speech(
    encoder: Any,
    count: int,
    height: int,
    width: int,
    device: str | torch.device,
    *,
    later: bool,
    posed: bool = False,
) -> Speech:
    """So many clips of sounds that are equally long: first ones, or `later` ones, which go on from a tail."""
    law = NANO_CLIPS
    scenes = still_scenes(count, width / height, device)
    seconds = random.uniform(1.2, 5.0) if later else random.uniform(0.4, 4.0)
    samples = random_sounds(count, int(seconds * SAMPLE_RATE), device)
    frames = law.lasting(samples.shape[1])
    audio, loud = hear(encoder, samples, frames)
    which = random.randrange(1, audio.shape[1]) if later else 0
    start = which * law.frames
    picture, _ = render(scenes, 1, height, width, way=pulsing(scenes, torch.zeros_like(loud[:, :1])))
    shown = loud[:, start - law.motion if later else 0 : start + law.frames]
    way, poses = pulsing(scenes, shown), None
    if posed:
        x, y, there = led(scenes, shown.shape[1], 0 if later else law.dropped, width / height)
        way = x, y, *way[2:]
        # How large the figure is says nothing.
        size = way[2] * 0 + scenes.radius[:, None] * (0.8 + 0.5 * torch.rand(count, 1, device=device))
        drawn = figures(jittered((x, y, size, way[3]), height), height, width)
        poses = torch.where(there[:, None, :, None, None], drawn, -1.0)
    clip, cover = render(scenes, shown.shape[1], height, width, way=way)
    before = picture
    if later:
        before, clip, cover = clip[:, :, : law.motion], clip[:, :, law.motion :], cover[:, :, law.motion :]
        poses = None if poses is None else poses[:, :, law.motion :]
        some = (torch.rand(count, device=device) < 0.6).view(-1, 1, 1, 1, 1)
        before = torch.where(some, worn(before), before)
    return Speech(scenes, audio[:, which], picture[:, :, 0], before, clip, cover, later, poses)
