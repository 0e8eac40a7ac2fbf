"""What the clip goes on from: its last 19 latent frames as tokens, the farther away the fewer (FramePack)."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from common.runtime.pipelines.s2v.rope import Grid, places

DropMode = Literal["drop", "padd"]
"""What becomes of frames that are not asked for: no tokens, or tokens of zeros."""

FRAMES = 19
"""Latent frames that are looked at, of 73 of the video."""


class _Level(NamedTuple):
    """`frames` latent frames from `first` on (0 is the clip's own first), in patches of [frames, rows, columns]."""

    first: int
    frames: int
    patch: tuple[int, int, int]


_LEVELS = (_Level(-1, 1, (1, 2, 2)), _Level(-3, 2, (2, 4, 4)), _Level(-FRAMES, 16, (4, 8, 8)))
"""From the nearest to the farthest."""


class FramePackMotioner(nn.Module):
    """Turns the frames before a clip into tokens: Wan-S2V's `FramePackMotioner`, with its names of weights."""

    def __init__(self, in_channels: int, inner_dim: int, drop_mode: DropMode = "padd") -> None:
        super().__init__()
        if drop_mode not in ("drop", "padd"):
            raise ValueError(f"framepack_drop_mode {drop_mode!r}, expected 'drop' or 'padd'")
        self.drop_mode = drop_mode
        self.proj, self.proj_2x, self.proj_4x = (
            nn.Conv3d(in_channels, inner_dim, kernel_size=level.patch, stride=level.patch)
            for level in _LEVELS
        )

    def forward(self, motion_latents: Tensor, add_last_motion: int = 2) -> tuple[Tensor, list[Grid]]:
        """Tokens [batch, tokens, inner_dim] of `motion_latents` [batch, channels, frames, height, width], and where
        they stand.

        Of more than 19 frames the last count; fewer are as if zeros came before. `add_last_motion` 2 means all, 1 not
        the last frame, 0 the 16 farthest alone. Height and width are at least 8.
        """
        batch, channels, have, height, width = motion_latents.shape
        known = motion_latents[:, :, max(0, have - FRAMES) :]
        before = known.new_zeros(batch, channels, FRAMES - known.shape[2], height, width)
        known = torch.cat([before, known], dim=2)
        tokens: list[Tensor] = []
        grids: list[Grid] = []
        for i, (level, project) in enumerate(
            zip(_LEVELS, (self.proj, self.proj_2x, self.proj_4x), strict=True)
        ):
            unasked = i < 2 - add_last_motion
            if unasked and self.drop_mode == "drop":
                continue
            start = level.first + FRAMES
            part = known[:, :, start : start + level.frames]
            made = project(torch.zeros_like(part) if unasked else part)
            tokens.append(made.flatten(2).transpose(1, 2))
            # All levels stand on the grid of the clip's own patches of 2x2; the larger patches on every 2nd or 4th.
            frames, rows, columns = made.shape[2:]
            grids.append(
                Grid(
                    places(level.first, level.frames, frames),
                    places(0, height // 2, rows),
                    places(0, width // 2, columns),
                )
            )
        return torch.cat(tokens, dim=1), grids
