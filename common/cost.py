"""Plan-time arithmetic without torch: tokens, floating-point operations, seconds, and bytes to download.

FLOPs of a forward are `L * [2S(6d^2 + 2df) + 4Td^2] + L * 4Sd(S + T)` with S video tokens and T = 512 text
tokens; the rates are data in `cost.json`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from common.catalog import (
    CLIP_PARAMETERS,
    MAX_PROMPT_TOKENS,
    TEXT_ENCODER_PARAMETERS,
    VAE_PARAMETERS,
    Architecture,
    Checkpoint,
    GpuSize,
    Weights,
)
from common.contract import Backend


@dataclass(frozen=True)
class Rates:
    """How fast one kind of machine is: effective TFLOP/s, VAE seconds a megapixel, seconds a job."""

    tflops: float
    vae_seconds_per_mpx: float
    fixed_seconds: float


@cache
def _table() -> dict[str, object]:
    return json.loads(Path(__file__).with_name("cost.json").read_text())


def rates(profile: str) -> Rates:
    """The rates of a profile in `cost.json`; KeyError when there is none."""
    profiles = _table()["profiles"]
    assert isinstance(profiles, dict)
    return Rates(**profiles[profile])


def tokens(architecture: Architecture, width: int, height: int, num_frames: int) -> int:
    """Tokens that the transformer attends over: latent frames times patches of 2x2 latents."""
    patch = architecture.spatial * 2
    frames = (num_frames - 1) // architecture.temporal + 1
    return frames * (width // patch) * (height // patch)


def forward_flops(architecture: Architecture, width: int, height: int, num_frames: int) -> float:
    """Floating-point operations of one forward, control branch included."""
    s, t = tokens(architecture, width, height, num_frames), MAX_PROMPT_TOKENS
    layers, d, f = architecture.layers + architecture.control_layers, architecture.dim, architecture.ffn
    return layers * (2 * s * (6 * d * d + 2 * d * f) + 4 * t * d * d) + layers * 4 * s * d * (s + t)


def forwards(steps: int, guidance_scale: float) -> int:
    """Forward passes: two a step under classifier-free guidance. MoE too: one expert works at a time."""
    return steps * (2 if guidance_scale > 1 else 1)


def seconds(
    checkpoint: Checkpoint,
    weights: Weights,
    profile: str,
    *,
    width: int,
    height: int,
    num_frames: int,
    forward_passes: int,
) -> float:
    """Expected seconds of a job on a machine of `profile`."""
    rate = rates(profile)
    megapixels = width * height * num_frames / 1e6
    if weights == "nano":
        overhead = _table()["nano_overhead_seconds_per_forward"]
        assert isinstance(overhead, int | float)
        return rate.fixed_seconds + forward_passes * overhead + megapixels * rate.vae_seconds_per_mpx
    flops = forward_flops(checkpoint.architecture, width, height, num_frames)
    return (
        rate.fixed_seconds
        + forward_passes * flops / (rate.tflops * 1e12)
        + megapixels * rate.vae_seconds_per_mpx
    )


def reservation(expected: float) -> int:
    """Seconds to ask of ZeroGPU for a job of `expected` seconds: a margin, and never under a minimum."""
    table = _table()
    factor, minimum = table["reserve_factor"], table["reserve_minimum"]
    assert isinstance(factor, int | float) and isinstance(minimum, int)
    return max(minimum, math.ceil(expected * factor))


def billed(asked: int, size: GpuSize) -> int:
    """GPU seconds of a visitor's day that a call for `asked` seconds on a tier of ZeroGPU takes."""
    factors = _table()["billed_factor"]
    assert isinstance(factors, dict)
    return math.ceil(asked * factors[size])


def free_day() -> int:
    """GPU seconds a day of a free account on ZeroGPU."""
    seconds_a_day = _table()["free_seconds_a_day"]
    assert isinstance(seconds_a_day, int)
    return seconds_a_day


def profile(backend: Backend) -> str:
    """The rates' profile of a backend."""
    return f"zerogpu-{backend.gpu_size}" if backend.gpu_size else backend.device


def zerogpu_profile(size: GpuSize) -> str:
    """The rates' profile of a ZeroGPU tier."""
    return f"zerogpu-{size}"


def download_bytes(checkpoint: Checkpoint) -> int:
    """Bytes that a first `--weights wan` run downloads: repositories hold more than is kept in memory."""
    a = checkpoint.architecture
    return (
        checkpoint.published.transformer * a.parameters * a.experts
        + checkpoint.published.text_encoder * TEXT_ENCODER_PARAMETERS
        + 4 * VAE_PARAMETERS[a.spatial]
        + (4 * CLIP_PARAMETERS if a.clip else 0)
    )
