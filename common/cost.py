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
from typing import Any, Literal

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
from common.contract import Backend, Placement


@dataclass(frozen=True)
class Rates:
    """How fast one kind of machine is: effective TFLOP/s, seconds a job, and seconds in which the 2.1 VAE decodes a
    megapixel in full precision.
    """

    tflops: float
    vae_seconds_per_mpx: float
    fixed_seconds: float


@cache
def _table() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("cost.json").read_text())


def _number(name: str) -> float:
    return _table()[name]


def rates(profile: str) -> Rates:
    """The rates of a profile in `cost.json`; KeyError when there is none."""
    return Rates(**_table()["profiles"][profile])


@dataclass(frozen=True)
class Work:
    """What a job does: a clip of a size in pixels, `forwards` of the transformer, and what the VAE reads beforehand.

    `encodes` counts clips of that length; each of `references` is a latent frame more; `lora` says whether a LoRA,
    which is not fused, works in every forward; `exact` counts those of the first and the last step, `unguided` those
    of steps without guidance among others that have it.
    """

    width: int
    height: int
    num_frames: int
    forwards: float
    encodes: int = 0
    references: int = 0
    lora: bool = False
    exact: int = 0
    unguided: int = 0


def tokens(architecture: Architecture, width: int, height: int, num_frames: int, references: int = 0) -> int:
    """Tokens that the transformer attends over: latent frames times patches of 2x2 latents.

    VACE puts a latent frame for each reference before those of the clip.
    """
    patch = architecture.spatial * 2
    frames = (num_frames - 1) // architecture.temporal + 1 + references
    return frames * (width // patch) * (height // patch)


def forward_flops(
    architecture: Architecture, width: int, height: int, num_frames: int, references: int = 0
) -> float:
    """Floating-point operations of one forward, control branch and face adapters included."""
    s, t = tokens(architecture, width, height, num_frames, references), MAX_PROMPT_TOKENS
    layers, d, f = architecture.layers + architecture.control_layers, architecture.dim, architecture.ffn
    each = 2 * s * (6 * d * d + 2 * d * f) + 4 * t * d * d + 4 * s * d * (s + t)
    # Faces are encoded in every forward, by small convolutions: counted as the operations that take as long.
    faces = num_frames * _number("flops_in_time_of_a_face") if architecture.face_adapters else 0
    adapters = architecture.face_adapters + architecture.audio_injectors
    return layers * each + adapters * 4 * s * d * d + faces


def forwards(steps: int, guidance_scale: float) -> int:
    """Forward passes: two a step under classifier-free guidance. MoE too: one expert works at a time."""
    return steps * (2 if guidance_scale > 1 else 1)


def seconds(
    checkpoint: Checkpoint, weights: Weights, profile: str, work: Work, placed: Placement | None = None
) -> float:
    """Expected seconds of a job on a machine of `profile`, where `placed` says how its VAE works there."""
    rate = rates(profile)
    a, size = checkpoint.architecture, (work.width, work.height, work.num_frames)
    compiled, fixed = placed is not None and placed.compile != "none", rate.fixed_seconds
    count = float(work.forwards)
    if weights == "nano":
        each = float(_number("nano_overhead_seconds_per_forward"))
    elif compiled:
        factors = _table()["compiled_factors"]
        rounded = "rounded" if placed and placed.attention == "fa3-8-bit" else "exact"
        exact = min(work.exact, work.forwards)
        count = factors["exact"] * exact + factors[rounded] * (work.forwards - exact)
        each = forward_flops(a, *size, work.references) / (rate.tflops * 1e12)
    else:
        each = forward_flops(a, *size, work.references) / (rate.tflops * 1e12)
        each *= _number("unfused_lora_factor") if work.lora else 1
        each *= _number("cached_video_factor") if a.caches_video else 1
    reads = 1 if a.caches_video else 0  # of the driving video
    if placed is not None and placed.cards > 1 and weights == "wan":
        each /= placed.cards
        alone = work.unguided if placed.halves else work.forwards
        fixed += alone * _exchanging(a, work, placed.cards)
        if placed.halves:  # the two of a step at once
            fixed += (work.forwards - alone) / 2 * _exchanging(a, work, placed.cards // 2)
    if weights == "wan" and not compiled:
        each += _waiting(a, placed) / (2 if placed and placed.halves else 1)
    # A process compiles its attention once for each size; ZeroGPU's may be new with each call.
    compiles = _number("compile_seconds") if a.caches_video and profile.startswith("zerogpu") else 0
    again = checkpoint.segments.again(weights) if checkpoint.segments else 0
    vae = vae_seconds(a, rate, work.width, work.height, work.num_frames + again, placed, "decode")
    vae += work.encodes * vae_seconds(a, rate, *size, placed, "encode")
    return fixed + compiles + (count + reads) * each + vae


def _exchanging(architecture: Architecture, work: Work, cards: int) -> float:
    """Seconds of a forward in which cards that share it give each other tokens for heads and back: query, key, value
    and what attention made of them, in bf16.
    """
    a = architecture
    s = tokens(a, work.width, work.height, work.num_frames, work.references)
    sent = 4 * 2 * a.dim * s * (cards - 1) / cards**2
    return (a.layers + a.control_layers) * sent / (_number("exchange_gb_per_second") * 1e9)


def _waiting(architecture: Architecture, placed: Placement | None) -> float:
    """Seconds that a forward takes longer where its blocks wait in the machine's own memory."""
    if placed is None or placed.offload != "group":
        return 0
    size = 1 if placed.precision["transformer"] == "float8" else 2
    return size * architecture.parameters / (_number("waiting_gb_per_second") * 1e9)


def vae_seconds(
    architecture: Architecture,
    rate: Rates,
    width: int,
    height: int,
    num_frames: int,
    placed: Placement | None,
    way: Literal["decode", "encode"],
) -> float:
    """Seconds in which the VAE decodes a clip, or reads one (always in full precision)."""
    factor = _table()["vae_factors"][str(architecture.spatial)][way]
    if placed is not None and placed.tiling:
        factor *= _number("tiling_factor")
    if placed is not None and way == "decode" and placed.precision["vae_decode"] == "float16":
        factor *= _table()["compiled_decode_factors"][str(architecture.spatial)]
    if placed is not None and way == "decode" and placed.precision["vae_decode"] == "bfloat16":
        factor *= _number("bfloat16_decode_factor")
    return width * height * num_frames / 1e6 * rate.vae_seconds_per_mpx * factor


def transfer(profile: str, weight_bytes: int) -> float:
    """Seconds in which the weights come to a new worker of ZeroGPU; 0 where they lie on the device already."""
    speeds = _table()["transfer_gb_per_second"]
    assert isinstance(speeds, dict)
    return weight_bytes / (speeds[profile] * 1e9) if profile in speeds else 0.0


def duration(expected: float) -> int:
    """Seconds to ask of ZeroGPU for a job of `expected` seconds: a margin, and never under a minimum."""
    table = _table()
    factor, minimum = table["reserve_factor"], table["reserve_minimum"]
    assert isinstance(factor, int | float) and isinstance(minimum, int)
    return max(minimum, math.ceil(expected * factor))


def billed(asked: int, size: GpuSize) -> int:
    """GPU seconds of a visitor's day that a call for `asked` seconds on a tier of ZeroGPU takes.

    On the card's half `spaces` asks for 1.5 times as long; the whole card counts twice.
    """
    factors = _table()["billed_factor"]
    assert isinstance(factors, dict)
    return math.ceil(asked * factors[size])


def free_day() -> int:
    """GPU seconds that a free account has in a day on ZeroGPU."""
    seconds_a_day = _table()["seconds_a_day"]
    assert isinstance(seconds_a_day, dict)
    return seconds_a_day["free account"]


def over(billed: int) -> tuple[str, int] | None:
    """Whose GPU seconds of a day on ZeroGPU a job is more than, and how many those are: the most that it exceeds."""
    seconds_a_day = _table()["seconds_a_day"]
    assert isinstance(seconds_a_day, dict)
    return next(((who, day) for who, day in reversed(seconds_a_day.items()) if billed > day), None)


def verified(backend: Backend, weights: Weights) -> bool:
    """Whether the rates of a machine were measured on one like it."""
    known = _table()["verified"].get(profile(backend), "")
    return weights == "nano" or bool(known and known in backend.name)


def profile(backend: Backend) -> str:
    """The rates' profile of a backend."""
    return f"zerogpu-{backend.gpu_size}" if backend.gpu_size else backend.device


def download_bytes(checkpoint: Checkpoint) -> int:
    """Bytes that a first `--weights wan` run downloads: repositories hold more than is kept in memory."""
    a = checkpoint.architecture
    return (
        checkpoint.published.transformer * a.parameters * a.experts
        + checkpoint.published.text_encoder * TEXT_ENCODER_PARAMETERS
        + 4 * VAE_PARAMETERS[a.spatial]
        + (4 * CLIP_PARAMETERS if a.clip else 0)
    )
