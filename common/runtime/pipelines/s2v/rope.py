"""Where tokens stand: rotary embeddings of grids at any places, before the clip and far behind it too.

Angles are made in float64 on the CPU and leave it as float32 pairs: Apple's GPUs know neither float64 nor complex
numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_THETA = 10000.0


@dataclass(frozen=True)
class Grid:
    """Tokens [frames, rows, columns], flattened in this order, by the places that they stand at on each axis."""

    frames: tuple[int, ...]
    rows: tuple[int, ...]
    columns: tuple[int, ...]


def places(first: int, span: int, count: int) -> tuple[int, ...]:
    """`count` whole places spread over the `span` that begin with `first`; rounded towards 0, as upstream does."""
    return tuple(np.linspace(first, first + span - 1, count).astype(int).tolist())


def rotary_embedding(grids: Sequence[Grid], head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [1, tokens, 1, head_dim] of the grids' tokens one after another, for `WanAttention`.

    Both are float32 and have each value twice, for the two halves of a pair.
    """
    made = [_of_grid(grid, head_dim, device) for grid in grids]
    cosines, sines = (torch.cat(parts)[None, :, None] for parts in zip(*made, strict=True))
    return cosines, sines


def _of_grid(grid: Grid, head_dim: int, device: torch.device) -> tuple[Tensor, Tensor]:
    side = 2 * (head_dim // 6)
    axes = ((grid.frames, head_dim - 2 * side), (grid.rows, side), (grid.columns, side))
    shape = [len(stand) for stand, _ in axes]
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for axis, (stand, dim) in enumerate(axes):
        speeds = _THETA ** -(torch.arange(0, dim, 2, dtype=torch.float64, device="cpu") / dim)
        angles = torch.outer(torch.tensor(stand, dtype=torch.float64, device="cpu"), speeds)
        angles = angles.repeat_interleave(2, dim=1)
        view = [1, 1, 1, dim]
        view[axis] = len(stand)
        for values, into in zip((angles.cos(), angles.sin()), parts, strict=True):
            into.append(values.float().to(device).view(view).expand(*shape, dim))
    cosines, sines = (torch.cat(axis, dim=-1).flatten(0, 2) for axis in parts)
    return cosines, sines
