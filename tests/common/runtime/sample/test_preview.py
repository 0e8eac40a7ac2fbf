"""The map from latents to RGB, against the clips that the nano VAEs really encode."""

from __future__ import annotations

import pytest
import torch

from common.runtime.sample import preview
from nano.judge.cases import cases, load


@pytest.mark.parametrize(("kind", "far"), [("dense", 0.19), ("ti2v", 0.09)])
def test_preview_shows_a_clip_in_its_own_colours(kind, far):
    """Within a root mean square error of 0…1 that a map fitted on unfit pictures exceeds, and without a tint."""
    vae = load(kind, "cpu").vae
    table, side = preview.rgb_map(vae), int(vae.config.scale_factor_spatial)
    gaps = []
    for case in cases(8, 5_000_000):
        clip = torch.from_numpy(case.clip).permute(3, 0, 1, 2).float()
        small = torch.nn.functional.avg_pool3d(clip, (1, side, side))
        true = torch.cat([small[:, :1], small[:, 1:].unflatten(1, (-1, 4)).mean(2)], 1)
        with torch.no_grad():
            latents = preview._normalised(vae, vae.encode(clip[None] * 2 - 1).latent_dist.mode())[0].float()
        shown = torch.einsum("cfhw,cr->rfhw", latents, table[:-1]) + table[-1].view(3, 1, 1, 1)
        gaps.append(shown.clamp(0, 1) - true)
    gap = torch.stack(gaps)
    assert gap.square().mean().sqrt() < far
    assert gap.mean((0, 2, 3, 4)).abs().max() < 0.1
