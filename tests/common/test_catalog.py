"""The brief's matrices (errata applied) as literals, against the catalog.

Sections 2, 4 and 5 of the brief. A change of the catalog that breaks one of these is a change of the product.
"""

import pytest

from common import cost
from common.catalog import CHECKPOINTS, GENERATIONS, LORAS, NEGATIVE_PROMPT
from common.modes.all import MODES
from launch import download_notice

# key: (generation, repo, fps, frames, upstream's steps, moe, grid, tier)
INVENTORY = {
    "wan2.1-t2v-1.3b": ("2.1", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 16, 81, 50, False, 16, "large"),
    "wan2.1-t2v-14b": ("2.1", "Wan-AI/Wan2.1-T2V-14B-Diffusers", 16, 81, 50, False, 16, "large"),
    "wan2.1-i2v-14b-480p": ("2.1", "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers", 16, 81, 40, False, 16, "large"),
    "wan2.1-i2v-14b-720p": ("2.1", "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers", 16, 81, 40, False, 16, "large"),
    "wan2.1-flf2v-14b-720p": (
        "2.1", "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers", 16, 81, 50, False, 16, "large",
    ),
    "wan2.1-vace-1.3b": ("2.1", "Wan-AI/Wan2.1-VACE-1.3B-diffusers", 16, 81, 50, False, 16, "large"),
    "wan2.1-vace-14b": ("2.1", "Wan-AI/Wan2.1-VACE-14B-diffusers", 16, 81, 50, False, 16, "large"),
    "wan2.2-ti2v-5b": ("2.2", "Wan-AI/Wan2.2-TI2V-5B-Diffusers", 24, 121, 50, False, 32, "large"),
    "wan2.2-t2v-a14b": ("2.2", "Wan-AI/Wan2.2-T2V-A14B-Diffusers", 16, 81, 40, True, 16, "xlarge"),
    "wan2.2-i2v-a14b": ("2.2", "Wan-AI/Wan2.2-I2V-A14B-Diffusers", 16, 81, 40, True, 16, "xlarge"),
    "wan2.2-s2v-14b": ("2.2", "FastVideo/Wan2.2-S2V-14B-Diffusers", 16, 77, 40, False, 64, "large"),
    "wan2.2-animate-14b": ("2.2", "Wan-AI/Wan2.2-Animate-14B-Diffusers", 30, 77, 20, False, 16, "xlarge"),
    "wan2.2-animate-2-14b": ("2.2", "Wan-AI/Wan2.2-Animate-2-14B-Diffusers", 24, 81, 40, False, 16, "xlarge"),
    "wan2.2-animate-2-14b-distilled": (
        "2.2", "Wan-AI/Wan2.2-Animate-2-14B-Distilled-Diffusers", 24, 81, 10, False, 16, "xlarge",
    ),
    "fastwan2.1-t2v-1.3b": ("2.1", "FastVideo/FastWan2.1-T2V-1.3B-Diffusers", 16, 81, 3, False, 16, "large"),
    "fastwan2.2-ti2v-5b": (
        "2.2", "FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers", 24, 121, 3, False, 32, "large",
    ),
    "wan2.2-vace-fun-14b": ("2.2", "linoyts/Wan2.2-VACE-Fun-14B-diffusers", 16, 81, 50, True, 16, "xlarge"),
}  # fmt: skip

# key: (guidance_scale, guidance_scale_2, flow_shift) of Quality; 30 steps unless said
QUALITY = {
    "wan2.1-t2v-1.3b": (6.0, None, 8.0),
    "wan2.1-t2v-14b": (5.0, None, 5.0),
    "wan2.1-i2v-14b-480p": (5.0, None, 3.0),
    "wan2.1-i2v-14b-720p": (5.0, None, 5.0),
    "wan2.1-flf2v-14b-720p": (5.5, None, 16.0),
    "wan2.1-vace-1.3b": (5.0, None, 16.0),
    "wan2.1-vace-14b": (5.0, None, 16.0),
    "wan2.2-ti2v-5b": (5.0, None, 5.0),
    "wan2.2-t2v-a14b": (4.0, 3.0, 12.0),
    "wan2.2-i2v-a14b": (3.5, 3.5, 5.0),
    "wan2.2-s2v-14b": (4.5, None, 3.0),
    "wan2.2-animate-14b": (1.0, None, 5.0),
    "wan2.2-animate-2-14b": (3.0, None, 5.0),
    "wan2.2-vace-fun-14b": (5.0, 5.0, 16.0),
}

# key: (steps, LoRA) of Fast; whoever is not here has no Fast
FAST = {
    "wan2.1-t2v-14b": (4, ("lightning-2.1-t2v",)),
    "wan2.1-i2v-14b-480p": (4, ("lightning-2.1-i2v",)),
    "wan2.1-i2v-14b-720p": (4, ("lightning-2.1-i2v",)),
    "wan2.1-flf2v-14b-720p": (4, ("lightning-2.1-i2v",)),
    "wan2.2-t2v-a14b": (4, ("lightning-2.2-t2v",)),
    "wan2.2-i2v-a14b": (4, ("lightning-2.2-i2v",)),
    "wan2.2-animate-2-14b-distilled": (10, ()),
    "fastwan2.1-t2v-1.3b": (3, ()),
    "fastwan2.2-ti2v-5b": (3, ()),
}

# mode: checkpoints that run it
MATRIX = {
    "t2v": {
        "wan2.1-t2v-1.3b", "wan2.1-t2v-14b", "wan2.2-t2v-a14b", "wan2.2-ti2v-5b",
        "fastwan2.1-t2v-1.3b", "fastwan2.2-ti2v-5b",
    },
    "i2v": {
        "wan2.1-i2v-14b-480p", "wan2.1-i2v-14b-720p", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b",
        "fastwan2.2-ti2v-5b",
    },
    "flf2v": {"wan2.1-flf2v-14b-720p", "wan2.2-i2v-a14b"},
    "v2v": {"wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "fastwan2.1-t2v-1.3b"},
    "vace": {"wan2.1-vace-14b", "wan2.1-vace-1.3b"},
    "s2v": {"wan2.2-s2v-14b"},
    "animate": {"wan2.2-animate-14b", "wan2.2-animate-2-14b", "wan2.2-animate-2-14b-distilled"},
}  # fmt: skip


def test_inventory() -> None:
    rows = {
        k: (c.generation, c.repo, c.fps, c.num_frames, c.upstream_steps, c.moe, c.grid, c.gpu_size)
        for k, c in CHECKPOINTS.items()
    }
    assert rows == INVENTORY


def test_quality_presets() -> None:
    rows = {
        k: (p.guidance_scale, p.guidance_scale_2, p.flow_shift)
        for k, c in CHECKPOINTS.items()
        if (p := c.presets.get("quality"))
    }
    assert rows == QUALITY
    steps = {k: c.presets["quality"].num_inference_steps for k, c in CHECKPOINTS.items() if k in QUALITY}
    others = {"wan2.2-animate-14b": 20, "wan2.2-animate-2-14b": 40}
    assert {k: n for k, n in steps.items() if n != 30} == others


def test_fast_presets_exist_only_where_a_distillation_does() -> None:
    rows = {
        k: (p.num_inference_steps, p.loras) for k, c in CHECKPOINTS.items() if (p := c.presets.get("fast"))
    }
    assert rows == FAST
    assert {
        c.presets["fast"].dmd_denoising_steps for k, c in CHECKPOINTS.items() if k.startswith("fastwan")
    } == {(1000, 757, 522)}
    assert all(c.presets["fast"].guidance_scale == 1.0 for k, c in CHECKPOINTS.items() if k in FAST)


@pytest.mark.parametrize("mode", MATRIX)
def test_mode_by_checkpoint(mode: str) -> None:
    assert set(MODES[mode].checkpoints) == MATRIX[mode]


# GB of a first download: by the sizes of the repositories where facts have them, the rest by their like
DOWNLOADS = {
    "wan2.1-t2v-1.3b": 28.9, "wan2.1-t2v-14b": 80.4, "wan2.1-i2v-14b-480p": 91.3, "wan2.1-i2v-14b-720p": 91.3,
    "wan2.1-flf2v-14b-720p": 91.3, "wan2.1-vace-1.3b": 31.9, "wan2.1-vace-14b": 92.6,
    "wan2.2-t2v-a14b": 126.2, "wan2.2-i2v-a14b": 126.2, "wan2.2-ti2v-5b": 34.2,
    "fastwan2.1-t2v-1.3b": 28.9, "fastwan2.2-ti2v-5b": 34.2,
}  # fmt: skip


@pytest.mark.parametrize("key", DOWNLOADS)
def test_what_a_download_takes(key: str) -> None:
    """A repository holds more than is kept in memory: 2.1's are fp32 throughout, 2.2's have fp32 experts."""
    assert cost.download_bytes(CHECKPOINTS[key]) / 1e9 == pytest.approx(DOWNLOADS[key], abs=0.06)
    shown = download_notice("wan")
    assert f"{key:24} {DOWNLOADS[key]:6.0f} GB" in shown


def test_boundaries_of_the_experts() -> None:
    ratios = {k: c.boundary_ratio for k, c in CHECKPOINTS.items() if c.moe}
    assert ratios == {"wan2.2-t2v-a14b": 0.875, "wan2.2-i2v-a14b": 0.9, "wan2.2-vace-fun-14b": 0.875}


def test_lora_pairs_go_into_both_experts() -> None:
    targets = {k: [f.target for f in lora.files] for k, lora in LORAS.items()}
    assert targets == {
        "lightning-2.1-t2v": ["transformer"],
        "lightning-2.1-i2v": ["transformer"],
        "lightning-2.2-t2v": ["transformer", "transformer_2"],
        "lightning-2.2-i2v": ["transformer", "transformer_2"],
        "hybrid-2.2-i2v": ["transformer", "transformer_2"],
        "relight-2.2-animate": ["transformer"],
    }


def test_api_only_generations_have_no_checkpoint() -> None:
    closed = {g.key for g in GENERATIONS.values() if not g.open_weights}
    assert closed == {"2.5", "2.6", "2.7"}
    assert not closed & {c.generation for c in CHECKPOINTS.values()}


def test_every_size_lies_on_its_grid() -> None:
    for c in CHECKPOINTS.values():
        for size in (*c.resolutions, *c.sizes("nano")):
            assert size.width % c.grid == 0 and size.height % c.grid == 0, (c.key, size)


def test_negative_prompt_is_the_one_the_models_know() -> None:
    assert NEGATIVE_PROMPT.startswith("色调艳丽，过曝，静态") and NEGATIVE_PROMPT.endswith("倒着走")


def test_a_frame_law_is_said_once_and_every_default_keeps_it() -> None:
    for row in CHECKPOINTS.values():
        assert row.law.allows(row.num_frames) and row.law.allows(row.max_frames), row.key
    assert CHECKPOINTS["wan2.2-s2v-14b"].sampled.words == "4k"
    for law in {law for row in CHECKPOINTS.values() for law in (row.law, row.sampled)}:
        for frames in range(1, 200):
            below = law.below(frames)
            assert law.allows(below) and (below <= frames or below == law.least)
            assert law.allows(law.nearest(frames)) and abs(law.nearest(frames) - frames) <= law.step
            if law.allows(frames):
                assert below == frames == law.nearest(frames) == law.frames(law.latent(frames))
