"""The world that Wan-Nano lives in: softly lit shapes that move over a plain background."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import cast

import torch
from torch import Tensor

from nano.outlines import OUTLINES
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES

COLOUR_RGB = (
    (0.90, 0.10, 0.10),
    (0.10, 0.72, 0.20),
    (0.15, 0.30, 0.95),
    (0.96, 0.86, 0.10),
    (0.60, 0.15, 0.80),
    (1.00, 0.50, 0.05),
    (0.10, 0.85, 0.90),
    (0.97, 0.97, 0.97),
)
BACKGROUND_RGB = ((0.03, 0.03, 0.04), (0.50, 0.50, 0.50), (0.05, 0.08, 0.30), (0.91, 0.83, 0.66))

LEFT, RIGHT, UP, DOWN, GROWING, SHRINKING, SPINNING, STILL = range(len(MOTIONS))
HELD_OUT = 96
"""Combinations of colour, shape, motion and background that training never sees."""


@dataclass
class Scenes:
    """A batch of scenes: what is shown (indices) and where it starts (half-heights from the centre)."""

    colour: Tensor
    shape: Tensor
    motion: Tensor
    background: Tensor
    size: Tensor  # 0 said small, 1 not said, 2 said large
    radius: Tensor
    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.colour)

    def __getitem__(self, index: object) -> Scenes:
        return Scenes(*(cast(Tensor, getattr(self, f.name))[index] for f in fields(self)))  # pyright: ignore


def combinations(*, held_out: bool, device: str | torch.device = "cpu") -> Tensor:
    """Rows of (colour, shape, motion, background): those kept from training, or all the others."""
    count = len(COLOURS) * len(SHAPES) * len(MOTIONS) * len(BACKGROUNDS)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(20))
    code = order[:HELD_OUT] if held_out else order[HELD_OUT:]
    parts = []
    for size in (len(BACKGROUNDS), len(MOTIONS), len(SHAPES), len(COLOURS)):
        parts.append(code % size)
        code = code // size
    rows = torch.stack(parts[::-1], 1)
    # A spinning circle looks like one standing still: nobody could judge it.
    return rows[~((rows[:, 1] == 0) & (rows[:, 2] == SPINNING))].to(device)


def random_scenes(
    count: int,
    aspect: float = 1.0,
    *,
    held_out: bool = False,
    device: str | torch.device = "cpu",
    generator: torch.Generator | None = None,
) -> Scenes:
    """Scenes whose paths stay in the picture; `aspect` is width / height."""

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, device=device, generator=generator)

    rows = combinations(held_out=held_out, device=device)
    pick = torch.randint(len(rows), (count,), device=device, generator=generator)
    colour, shape, motion, background = rows[pick].unbind(1)
    # A small or large one is said to be so four times in five.
    chance = uniform(0, 1)
    size = torch.where(chance < 0.2, 0, torch.where(chance < 0.4, 2, 1))
    radius = torch.where(size == 0, uniform(0.19, 0.25), torch.where(size == 2, uniform(0.39, 0.48), 0.0))
    radius = torch.where(size == 1, uniform(0.21, 0.42), radius) * min(1.0, aspect) ** 0.5
    # Along its path a shape starts on the side that it will leave.
    start, across = uniform(-0.7, 0.35), uniform(-0.5, 0.5)
    sign = torch.where((motion == LEFT) | (motion == UP), -1.0, 1.0)
    sideways, upright = motion <= RIGHT, (motion == UP) | (motion == DOWN)
    x = torch.where(sideways, start * sign, across) * aspect
    y = torch.where(upright, start * sign, uniform(-0.5, 0.5))
    return Scenes(colour, shape, motion, background, size, radius, x, y)


Way = tuple[Tensor, Tensor, Tensor, Tensor]
"""Centre x, y, radius and angle, each [batch, frames], in half-heights from the picture's centre."""


def paths(scenes: Scenes, frames: int, aspect: float = 1.0) -> Way:
    """Centre x, y, radius and angle of each scene, [batch, frames]."""
    t = torch.linspace(0, 1, frames, device=scenes.x.device)[None] if frames > 1 else scenes.x.new_zeros(1, 1)
    motion, radius = scenes.motion[:, None], scenes.radius[:, None]

    def travel(start: Tensor, negative: int, positive: int, extent: float) -> Tensor:
        start = start[:, None]
        right = torch.clamp(start + 0.95 * extent, max=0.7 * extent).maximum(start + 0.3 * extent)
        left = torch.clamp(start - 0.95 * extent, min=-0.7 * extent).minimum(start - 0.3 * extent)
        end = torch.where(motion == negative, left, torch.where(motion == positive, right, start))
        return start + (end - start) * t

    growth = torch.where(motion == GROWING, 1 + 0.8 * t, torch.where(motion == SHRINKING, 1 - 0.55 * t, 1.0))
    angle = torch.where(motion == SPINNING, math.pi * t, 0.0)
    return (
        travel(scenes.x, LEFT, RIGHT, aspect),
        travel(scenes.y, UP, DOWN, 1.0),
        radius * growth,
        angle.expand(len(scenes), frames),
    )


def distance(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor, angle: Tensor) -> Tensor:
    """Signed distance (roughly) to each scene's outline at offsets x, y from its centre."""
    c, s = torch.cos(angle), torch.sin(angle)
    x, y = x * c + y * s, -x * s + y * c
    circle, square, triangle, star = (outline(torch, x, y, radius) for outline in OUTLINES)
    choice = shape.view(-1, *([1] * (x.ndim - 1)))
    return torch.where(
        choice == 0, circle, torch.where(choice == 1, square, torch.where(choice == 2, triangle, star))
    )


def render(
    scenes: Scenes,
    frames: int,
    height: int,
    width: int,
    crop: tuple[Tensor, Tensor, int, int] | None = None,
    way: Way | None = None,
) -> tuple[Tensor, Tensor]:
    """Clips [batch, 3, frames, h, w] in −1…1 and the shapes' coverage [batch, 1, frames, h, w].

    `crop` is (top, left, h, w) with one top and left per scene: only that window is drawn. They go the `way`
    that is given, else their own.
    """
    device, count = scenes.x.device, len(scenes)
    aspect = width / height
    if crop is None:
        zero = torch.zeros(count, dtype=torch.long, device=device)
        crop = zero, zero, height, width
    top, left, rows, columns = crop
    row = (top[:, None] + torch.arange(rows, device=device)) / (height - 1) * 2 - 1
    column = ((left[:, None] + torch.arange(columns, device=device)) / (width - 1) * 2 - 1) * aspect
    row, column = row[:, None, :, None], column[:, None, None, :]

    way = paths(scenes, frames, aspect) if way is None else way
    x, y, radius, angle = (p[:, :, None, None] for p in way)
    colours = torch.tensor(COLOUR_RGB, device=device)[scenes.colour][:, :, None, None, None]
    backdrop = torch.tensor(BACKGROUND_RGB, device=device)[scenes.background][:, :, None, None, None]

    dx, dy = column - x, row - y
    cover = torch.sigmoid(-distance(scenes.shape, dx, dy, radius, angle) * height * 0.5)
    shade = torch.sigmoid(-distance(scenes.shape, dx - 0.06, dy - 0.08, radius, angle) * 22)
    # Light falls from the upper left; the floor is a little brighter towards the top.
    lit = 1.0 - 0.13 * ((dx + dy) / radius.clamp(min=0.05)).clamp(-1.5, 1.5)
    spot = torch.exp(-((dx + 0.32 * radius) ** 2 + (dy + 0.36 * radius) ** 2) / (0.26 * radius) ** 2)
    floor = (1.0 - 0.07 * row).expand(count, 1, rows, columns)

    ground = backdrop * (floor * (1 - 0.28 * shade))[:, None]
    body = colours * lit[:, None] + 0.22 * spot[:, None] * (1.0 - 0.5 * colours)
    cover = cover[:, None]
    return (cover * body + (1 - cover) * ground).clamp(0, 1) * 2 - 1, cover
