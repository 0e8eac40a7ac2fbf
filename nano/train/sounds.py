"""Sounds that swell and fade, and how loud each moment of them is: what Wan-Nano's speech is learned from."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from common.speech import SAMPLE_RATE

FULL = 0.3
"""The root mean square, of samples in -1..1, that counts as fully loud."""
POWER = 0.6
"""Loudness grows with this power of the pressure (Stevens)."""
WINDOW = 3200
"""Samples around a moment that make its loudness, 0.2 s: Wan-Nano's VAE blurs what changes faster."""


def loudness(samples: Tensor, every: int = 1000) -> Tensor:
    """How loud, 0..1, it is around each `every`-th of `samples` [n, samples]; 1000 are a frame at 16 fps."""
    power = F.avg_pool1d(F.pad(samples.square(), (WINDOW // 2, WINDOW // 2))[:, None], WINDOW, every)[:, 0]
    return (power.clamp(min=1e-12).sqrt() / FULL).clamp(max=1) ** POWER


def random_sounds(
    count: int, samples: int, device: str | torch.device = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Sounds [count, samples] in -1..1 at 16 kHz: tones, vowels and noises, in syllables, or silence."""

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        drawn = torch.rand(count, *(shape or (1,)), device=device, generator=generator)
        return low + (high - low) * drawn

    time = torch.arange(samples, device=device) / SAMPLE_RATE
    pitch = 90 * 2 ** uniform(0, 3.2)
    wobble = uniform(0, 0.02) * torch.sin(2 * math.pi * uniform(3, 7) * time)
    phase = 2 * math.pi * pitch * (time + wobble / 10)
    tone = torch.sin(phase)
    colours = uniform(0, 1, 8) ** 2
    vowel = sum(colours[:, i : i + 1] * torch.sin((i + 1) * phase + uniform(0, 6)) for i in range(8))
    white = torch.randn(count, samples, device=device, generator=generator)
    dark = F.avg_pool1d(F.pad(white[:, None], (7, 8)), 16, 1)[:, 0]
    which = torch.randint(5, (count, 1), device=device, generator=generator)
    sound = torch.where(
        which == 0, tone, torch.where(which == 1, white, torch.where(which == 2, dark, vowel))
    )
    sound = sound / sound.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
    strength = 0.5 * 10 ** -uniform(0, 1.3)
    made = sound * strength * syllables(count, samples, device, generator)
    floor = torch.where(uniform(0, 1) < 0.3, 10 ** -uniform(2.6, 4), 0.0)
    silent = uniform(0, 1) < 0.06
    return (torch.where(silent, 0.0, made) + floor * white).clamp(-1, 1)


def syllables(
    count: int, samples: int, device: str | torch.device = "cpu", generator: torch.Generator | None = None
) -> Tensor:
    """Envelopes [count, samples] in 0..1 that go smoothly from strength to strength, and often to nothing."""

    def drawn(*shape: int) -> Tensor:
        return torch.rand(count, *shape, device=device, generator=generator)

    seconds = samples / SAMPLE_RATE
    knots = math.ceil(seconds / 0.12) + 2
    height = torch.where(drawn(knots) < 0.4, 0.0, 0.15 + 0.85 * drawn(knots))
    steady = drawn(1) < 0.06
    height = torch.where(steady, height[:, :1], height)
    pace = 0.12 + 0.5 * drawn(1) ** 1.5  # seconds from one to the next
    place = torch.arange(samples, device=device) / SAMPLE_RATE / pace + drawn(1)
    before = place.floor().long().clamp(max=knots - 2)
    way = ((place - before) / (0.3 + 0.7 * drawn(1))).clamp(0, 1)
    way = way * way * (3 - 2 * way)
    return height.gather(1, before) * (1 - way) + height.gather(1, before + 1) * way
