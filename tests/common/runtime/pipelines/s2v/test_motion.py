"""How what came before becomes tokens."""

from __future__ import annotations

import pytest
import torch

from common.runtime.pipelines.s2v.motion import FramePackMotioner


def packer(mode: str = "padd") -> FramePackMotioner:
    torch.manual_seed(0)
    return FramePackMotioner(16, 8, mode)  # pyright: ignore[reportArgumentType]


def latents(frames: int) -> torch.Tensor:
    return torch.randn(1, 16, frames, 16, 8, generator=torch.Generator().manual_seed(frames))


@pytest.mark.parametrize(
    ("mode", "add", "tokens"), [("padd", 0, 48), ("drop", 2, 48), ("drop", 1, 16), ("drop", 0, 8)]
)
def test_the_nearest_frame_has_most_tokens(mode: str, add: int, tokens: int) -> None:
    """Of 16 x 8: 32 of the last frame, 8 of the two before, 8 of the sixteen before those."""
    made, grids = packer(mode)(latents(19), add)
    assert made.shape == (1, tokens, 8)
    assert sum(len(g.frames) * len(g.rows) * len(g.columns) for g in grids) == tokens
    assert grids[-1].frames == (-19, -14, -9, -4) and grids[-1].rows == (0, 7)


def test_only_the_last_19_frames_count() -> None:
    long = latents(25)
    assert torch.equal(packer()(long)[0], packer()(long[:, :, 6:])[0])


def test_before_few_frames_were_zeros() -> None:
    few = latents(3)
    filled = torch.cat([torch.zeros(1, 16, 16, 16, 8), few], dim=2)
    assert torch.equal(packer()(few)[0], packer()(filled)[0])
