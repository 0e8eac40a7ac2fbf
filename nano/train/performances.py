"""Performances for Animate to learn: one shape goes another's way, as its picture says it looks."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from nano.figure import FACE, covers, painted, reach
from nano.train.world import Scenes, Way, paths, random_scenes, render
from nano.words import BACKGROUNDS, COLOURS, SHAPES

LETTERBOXED = ((128, 128), (128, 192), (192, 128), (96, 160))


@dataclass
class Performance:
    """A batch of segments: all that the pipeline is given, and what it should make of it; pixels in −1…1."""

    scenes: Scenes
    replaced: Tensor  # [n], whether the driving clip's own scene is kept
    clip: Tensor
    cover: Tensor
    driving: Tensor
    way: Way
    pose: Tensor
    picture: Tensor
    """The reference as it is."""
    reference: Tensor
    """The same in the size of the clip, on black where its aspect is another."""
    given: Tensor
    """What is kept of the scene, gray where nothing is, with the carried frames first."""
    kept: Tensor
    """1 where `given` is the driving clip's own, [n, 1, frames, h, w]."""
    carried: Tensor

    def faces(self, size: int, blind: float = 0.08) -> Tensor:
        """The performer, cut out of the driving clip; `blind` of the clips are black, as guidance has them."""
        count, _, frames, height, width = self.driving.shape
        x, y, radius, _ = (p.flatten() for p in self.way)
        half = FACE * radius
        line = torch.linspace(-1, 1, size, device=half.device)
        across = (x[:, None] + half[:, None] * line) / (width / height)
        down = y[:, None] + half[:, None] * line
        shape = count * frames, size, size
        grid = torch.stack([across[:, None, :].expand(shape), down[:, :, None].expand(shape)], -1)
        flat = self.driving.transpose(1, 2).flatten(0, 1)
        faces = F.grid_sample(flat, grid, mode="bilinear", padding_mode="border", align_corners=True)
        faces = faces.view(count, frames, 3, size, size).transpose(1, 2)
        seen = torch.rand(count, 1, 1, 1, 1, device=faces.device) >= blind
        return torch.where(seen, faces, -1.0)


def performance(count: int, frames: int, height: int, width: int, device: str | torch.device) -> Performance:
    """So many segments, some in the middle of a longer clip."""
    aspect = width / height

    def chance(share: float) -> Tensor:
        return torch.rand(count, device=device) < share

    scenes = random_scenes(count, aspect, device=device)
    way = any_way(scenes, frames, aspect)
    replaced = chance(0.45)
    other = torch.randint(len(BACKGROUNDS), (count,), device=device)
    driver = replace(
        scenes,
        colour=_another(scenes.colour, len(COLOURS)),
        shape=_another(scenes.shape, len(SHAPES)),
        background=torch.where(replaced, scenes.background, other),
    )
    driving, _ = render(driver, frames, height, width, way=way)
    clip, cover = render(scenes, frames, height, width, way=way)
    seen = jittered(way, height)
    mask = boxes(seen, height, width, 0.95 + 0.4 * torch.rand(count, 1, device=device))
    within = replaced.view(-1, 1, 1, 1, 1)
    mask = torch.where(within, mask, 1.0)
    clip = mask * clip + (1 - mask) * driving  # so that what is kept is exactly what is given
    picture, reference = character(scenes, height, width, free=replaced)
    scene = torch.where(within, driving * (1 - mask) - mask, 0.0)
    few = torch.where(chance(0.3), 5, 1) if frames > 5 else torch.ones_like(scenes.colour)
    carried = torch.where(chance(0.55), few, 0)
    first = (torch.arange(frames, device=device) < carried[:, None])[:, None, :, None, None]
    return Performance(
        scenes,
        replaced,
        clip,
        cover,
        driving,
        way,
        figures(seen, height, width),
        picture,
        reference,
        torch.where(first, worn(clip), scene),
        (1 - mask).expand(-1, 1, frames, height, width),
        carried,
    )


def _another(index: Tensor, count: int) -> Tensor:
    return (index + torch.randint(1, count, index.shape, device=index.device)) % count


def any_way(scenes: Scenes, frames: int, aspect: float) -> Way:
    """Each scene's own way, or the first or second half of it, or one that no word names."""
    device, count = scenes.x.device, len(scenes)

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, device=device)

    t = torch.linspace(0, 1, frames, device=device)[None]
    sway = t + uniform(-0.15, 0.15) * torch.sin(2 * math.pi * t)

    def between(first: Tensor, last: Tensor) -> Tensor:
        return first + (last - first) * sway

    turn = torch.where(uniform(0, 1) < 0.5, uniform(-1.2, 1.2) * math.pi, 0.0)
    free = (
        between(uniform(-0.7, 0.7), uniform(-0.7, 0.7)) * aspect,
        between(uniform(-0.7, 0.7), uniform(-0.7, 0.7)),
        between(uniform(0.15, 0.5), uniform(0.15, 0.5)) * min(1.0, aspect) ** 0.5,
        torch.where(uniform(0, 1) < 0.5, uniform(-1, 1) * math.pi, 0.0) + turn * t,
    )
    whole = paths(scenes, 2 * frames - 1, aspect)
    kind = uniform(0, 1)
    return tuple(  # pyright: ignore[reportReturnType]
        torch.where(
            kind < 0.35,
            own[:, ::2],
            torch.where(kind < 0.5, own[:, :frames], torch.where(kind < 0.65, own[:, frames - 1 :], else_)),
        )
        for own, else_ in zip(whole, free, strict=True)
    )


def jittered(way: Way, height: int) -> Way:
    """A way as a tracker sees it."""
    x, y, radius, angle = way
    pixel = 2 / height

    def noise(size: float) -> Tensor:
        lasting = torch.randn_like(x[:, :1])
        return size * (0.7 * lasting + 0.5 * torch.randn_like(x))

    return (
        x + noise(0.4 * pixel),
        y + noise(0.4 * pixel),
        radius * (1 + noise(0.02)),
        angle + noise(math.radians(2)),
    )


def in_pixels(way: Way, height: int, width: int) -> Way:
    """The same way in pixels of a picture: x, y, radius; the angle is as it was."""
    x, y, radius, angle = way
    return (
        (x * height / width + 1) / 2 * (width - 1),
        (y + 1) / 2 * (height - 1),
        radius * (height - 1) / 2,
        angle,
    )


def _offsets(way: Way, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, y, radius, angle = (p[:, :, None, None] for p in in_pixels(way, height, width))
    dx = torch.arange(width, device=x.device).view(1, 1, 1, -1) - x
    dy = torch.arange(height, device=x.device).view(1, 1, -1, 1) - y
    return dx, dy, radius, angle


def figures(way: Way, height: int, width: int) -> Tensor:
    """The pose video: nano's figure on black."""
    dx, dy, radius, angle = _offsets(way, height, width)
    disc, hand = covers(dx, dy, radius, torch.cos(angle), torch.sin(angle))
    return torch.stack([painted(disc, hand, channel) for channel in range(3)], 1) * 2 - 1


def boxes(way: Way, height: int, width: int, grown: Tensor) -> Tensor:
    """1 in a box around the performer, [n, 1, frames, h, w]."""
    dx, dy, radius, _ = _offsets(way, height, width)
    half = reach(radius, height) * grown[:, :, None, None]
    return ((dx.abs() <= half) & (dy.abs() <= half)).float()[:, None]


def character(scenes: Scenes, height: int, width: int, free: Tensor) -> tuple[Tensor, Tensor]:
    """A picture of the scenes' shapes at other places, as it is and in the clip's size.

    Where `free`, the scene of the picture says nothing: it has any background, or it is cut out on white.
    """
    count, device = len(scenes), scenes.x.device
    size = random.choice(LETTERBOXED) if random.random() < 0.35 else (height, width)
    aspect = size[1] / size[0]

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, device=device)

    radius = uniform(0.22, 0.5) * min(1.0, aspect)
    room = 1 - 1.15 * radius
    turned = torch.where(uniform(0, 1) < 0.2, uniform(-1, 1) * math.pi, 0.0)
    way = uniform(-1, 1) * room.clamp(max=0.7) * aspect, uniform(-1, 1) * room.clamp(max=0.7), radius, turned
    other = torch.randint(len(BACKGROUNDS), (count,), device=device)
    shown = replace(scenes, background=torch.where(free, other, scenes.background))
    clip, cover = render(shown, 1, *size, way=way)
    picture, there = clip[:, :, 0], cover[:, :, 0]
    cut = free & (torch.rand(count, device=device) < 0.3) & (scenes.colour != COLOURS.index("white"))
    picture = torch.where(cut.view(-1, 1, 1, 1), there * picture + (1 - there), picture)
    return picture, letterboxed(picture, height, width)


def letterboxed(picture: Tensor, height: int, width: int) -> Tensor:
    """Whole in the middle of black, as WanAnimatePipeline fits its reference."""
    tall, wide = picture.shape[-2:]
    if (tall, wide) == (height, width):
        return picture
    scale = min(height / tall, width / wide)
    rows, columns = int(tall * scale + 1e-6), int(wide * scale + 1e-6)
    small = F.interpolate(picture, size=(rows, columns), mode="bilinear", antialias=True)
    fitted = torch.full((len(picture), 3, height, width), -1.0, device=picture.device)
    top, left = height // 2 - rows // 2, width // 2 - columns // 2
    fitted[:, :, top : top + rows, left : left + columns] = small
    return fitted


def worn(clip: Tensor) -> Tensor:
    """Frames as a segment before would have made them."""
    light = 1 + 0.03 * torch.randn(len(clip), 3, 1, 1, 1, device=clip.device)
    return (clip * light + 0.02 * torch.randn_like(clip)).clamp(-1, 1)
