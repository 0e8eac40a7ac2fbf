"""Other pictures that the models are shown: control videos, masks, and clutter that is not of the world."""

from __future__ import annotations

import random

import torch
import torch.nn.functional as F
from torch import Tensor


def gray_video(clip: Tensor) -> Tensor:
    """The clip in gray."""
    weights = clip.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1, 1)
    return (clip * weights).sum(1, keepdim=True).expand_as(clip)


def depth_video(cover: Tensor) -> Tensor:
    """Near is bright: a soft bright shape over a floor that recedes towards the top."""
    height = cover.shape[-2]
    floor = torch.linspace(0.12, 0.38, height, device=cover.device).view(1, 1, 1, height, 1)
    near = floor * (1 - cover) + 0.85 * cover
    return (near * 2 - 1).expand(-1, 3, -1, -1, -1)


def edge_video(cover: Tensor) -> Tensor:
    """White outlines on black, as a scribble or an edge detector gives."""
    flat = cover.flatten(0, 2)[:, None] if cover.ndim == 4 else cover.transpose(1, 2).flatten(0, 1)
    wide, narrow = F.max_pool2d(flat, 3, 1, 1), -F.max_pool2d(-flat, 3, 1, 1)
    line = ((wide - narrow) * 1.5).clamp(0, 1)
    line = line.view(cover.shape[0], cover.shape[2], 1, *cover.shape[-2:]).transpose(1, 2)
    return (line * 2 - 1).expand(-1, 3, -1, -1, -1)


def track_video(cover: Tensor) -> Tensor:
    """A dot where the shape is and a bar to its top: a position and a size, as a pose skeleton gives."""
    count, _, frames, height, width = cover.shape
    device = cover.device
    row = torch.arange(height, device=device).view(1, 1, height, 1)
    column = torch.arange(width, device=device).view(1, 1, 1, width)
    solid = (cover[:, 0] > 0.5).float()
    mass = solid.sum((-2, -1), keepdim=True).clamp(min=1)
    y, x = (
        (solid * row).sum((-2, -1), keepdim=True) / mass,
        (solid * column).sum((-2, -1), keepdim=True) / mass,
    )
    reach = (mass / torch.pi).sqrt()
    dot = torch.sigmoid(3.5 - ((row - y) ** 2 + (column - x) ** 2).sqrt())
    bar = (
        torch.sigmoid(1.5 - (column - x).abs())
        * torch.sigmoid((row - (y - reach)) * 2)
        * torch.sigmoid(y - row)
    )
    picture = torch.stack([dot, bar * (1 - dot), torch.zeros_like(dot)], 1)
    return (picture.view(count, 3, frames, height, width) * 2 - 1).clamp(-1, 1)


def random_masks(
    count: int,
    frames: int,
    height: int,
    width: int,
    cover: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Boxes of 1 [count, 1, frames, h, w]; with `cover` they surround each scene's shape in every frame."""
    device = "cpu" if cover is None else cover.device

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, 1, 1, device=device, generator=generator)

    row = torch.linspace(0, 1, height, device=device).view(1, 1, height, 1)
    column = torch.linspace(0, 1, width, device=device).view(1, 1, 1, width)
    top, left = uniform(0, 0.5), uniform(0, 0.5)
    bottom, right = top + uniform(0.3, 0.6), left + uniform(0.3, 0.6)
    if cover is not None:
        solid = cover[:, 0] > 0.3
        rows, columns = solid.any(-1)[:, :, :, None], solid.any(-2)[:, :, None, :]
        big = torch.tensor(9.0, device=device)
        pad = uniform(0.03, 0.12)
        top, bottom = (
            torch.where(rows, row, big).amin(2, keepdim=True) - pad,
            torch.where(rows, row, -big).amax(2, keepdim=True) + pad,
        )
        left, right = (
            torch.where(columns, column, big).amin(3, keepdim=True) - pad,
            torch.where(columns, column, -big).amax(3, keepdim=True) + pad,
        )
    box = (row >= top) & (row <= bottom) & (column >= left) & (column <= right)
    return box.float().expand(count, frames, height, width)[:, None]


def side_masks(cover: Tensor) -> Tensor:
    """Half-planes of 1 [count, 1, frames, h, w]: from one edge of the picture to a little beyond a shape's way.

    Of two opposite edges it is the one from which less has to be made.
    """
    masks = torch.zeros_like(cover)
    for mask, shown in zip(masks, cover, strict=True):
        across = random.random() < 0.5  # from the left or the right edge
        line = shown.amax((0, 1, 2) if across else (0, 1, 3)) > 0.02
        where = torch.nonzero(line)[:, 0]
        if not len(where):
            continue
        size, first, last = len(line), int(where[0]), int(where[-1])
        backward = size - first < last + 1
        reach = size - first if backward else last + 1
        reach = min(reach + 2 + round(random.random() * 0.4 * (size - reach)), size)
        side = torch.arange(size, device=cover.device) < reach
        side = (side.flip(0) if backward else side).to(cover.dtype)
        mask.copy_((side if across else side[:, None]).expand_as(mask))
    return masks


def clutter(count: int, frames: int, height: int, width: int, device: str | torch.device) -> Tensor:
    """Drifting blotches of any colour and fineness, so that the VAE is not lost on a photograph."""
    clip = torch.zeros(count, 3, frames, height, width, device=device)
    drift = torch.linspace(0, 1, frames, device=device)
    for cells in (2, 5, 12, 28):
        grid = torch.randn(count, 3, 2 * cells, 2 * cells, device=device)
        step = (torch.rand(count, 2, device=device) - 0.5) * 0.6
        base_y, base_x = torch.meshgrid(
            torch.linspace(-0.5, 0.5, height, device=device),
            torch.linspace(-0.5, 0.5, width, device=device),
            indexing="ij",
        )
        base = torch.stack([base_x, base_y], -1)[None, None]
        where = base + (step[:, None] * drift[None, :, None])[:, :, None, None]
        strength = torch.rand(count, 1, 1, 1, 1, device=device) * (1.2 if cells < 10 else 0.5)
        tiles = grid.repeat_interleave(frames, 0)
        layer = F.grid_sample(
            tiles, where.flatten(0, 1), mode="bilinear", padding_mode="reflection", align_corners=False
        )
        clip += strength * layer.view(count, frames, 3, height, width).transpose(1, 2)
    return torch.tanh(clip)
