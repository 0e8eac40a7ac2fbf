"""What flow-matching training needs to know about a kind: its inputs, its noise levels, its settings."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from common.catalog import CHECKPOINTS, Preset
from common.speech import NANO_CLIPS
from nano.kinds import Kind
from nano.train.conditions import Shelf
from nano.train.fast_blocks import short_context

# The checkpoint whose settings a kind is trained towards and judged with.
_STANDS_FOR = {
    "dense": "wan2.1-t2v-1.3b",
    "moe": "wan2.2-t2v-a14b",
    "i2v-clip": "wan2.1-i2v-14b-720p",
    "i2v-moe": "wan2.2-i2v-a14b",
    "flf2v": "wan2.1-flf2v-14b-720p",
    "ti2v": "wan2.2-ti2v-5b",
    "vace": "wan2.1-vace-14b",
    "animate": "wan2.2-animate-14b",
    "s2v": "wan2.2-s2v-14b",
}
FAST = CHECKPOINTS["wan2.1-t2v-14b"].presets["fast"]
"""4 steps, guidance 1, shift 5: the same for every kind with a Lightning LoRA."""
DEAF = 0.15
"""How many of the clips of speech are learned without their sound."""


def quality(kind_name: str) -> Preset:
    """The catalog's Quality settings for a kind, with the steps that the Studio gives it."""
    checkpoint = CHECKPOINTS[_STANDS_FOR[kind_name]]
    steps = checkpoint.steps("quality", "nano")
    return replace(checkpoint.presets["quality"], num_inference_steps=steps)


def noise_range(kind: Kind, expert: str) -> tuple[float, float]:
    """The noise levels that an expert is asked for."""
    boundary = kind.index.get("boundary_ratio")
    if boundary is None:
        return 0.0, 1.0
    return (float(boundary), 1.0) if expert == "transformer" else (0.0, float(boundary))


def random_sigmas(count: int, low: float, high: float, device: Any) -> Tensor:
    """Noise levels as schedules with shifts from 1.5 to 16 visit them."""
    shift = torch.exp(torch.empty(count, device=device).uniform_(math.log(1.5), math.log(16)))
    first, last = low / (shift - (shift - 1) * low), high / (shift - (shift - 1) * high)
    u = first + (last - first) * torch.rand(count, device=device)
    return shift * u / (1 + (shift - 1) * u)


def velocity(
    transformer: Any,
    kind: Kind,
    shelf: Shelf,
    noisy: Tensor,
    sigma: Tensor,
    text: Tensor,
    first: Tensor | None = None,
) -> Tensor:
    """Runs a transformer the way its pipeline does; `first` marks ti2v samples whose first frame is given."""
    extra: dict[str, Tensor] = {}
    whole: dict[str, Any] = {}
    timestep, kept = sigma * 1000, transformer.patch_embedding.weight.dtype
    if "condition" in shelf.extra:
        noisy = torch.cat([noisy, shelf.extra["condition"]], 1)
    if "picture" in shelf.extra:
        extra["encoder_hidden_states_image"] = shelf.extra["picture"].flatten(0, 1)
    if "control" in shelf.extra:
        extra["control_hidden_states"] = shelf.extra["control"]
    if "pose" in shelf.extra:
        extra["pose_hidden_states"] = shelf.extra["pose"]
        extra["face_pixel_values"] = shelf.extra["face"]
        whole["motion_encode_batch_size"] = shelf.extra["face"].shape[0] * shelf.extra["face"].shape[2]
    if "sound" in shelf.extra:
        extra["audio_embeds"], extra["image_latents"] = shelf.extra["sound"], shelf.extra["reference"]
        before = (NANO_CLIPS.motion - 1) // 4 + 1
        nothing = torch.zeros_like(noisy[:, :, :1]).expand(-1, -1, before, -1, -1)
        extra["motion_latents"] = shelf.extra.get("motion", nothing)
        if "poses" in shelf.extra:
            extra["pose_latents"] = shelf.extra["poses"]
        whole = {
            "motion_frames": (NANO_CLIPS.motion, before),
            "drop_motion_frames": "motion" not in shelf.extra,
        }
    if kind.name == "ti2v":
        frames, height, width = noisy.shape[-3:]
        every = timestep[:, None].expand(-1, frames * height * width // 4)
        given = torch.arange(every.shape[1], device=noisy.device) < height * width // 4
        timestep = every if first is None else torch.where(given & first[:, None], 0.0, every)
    return transformer(
        hidden_states=noisy.to(kept),
        timestep=timestep,
        encoder_hidden_states=short_context(text.to(kept)),
        return_dict=False,
        **{name: value.to(kept) for name, value in extra.items()},
        **whole,
    )[0].float()


def flow_loss(transformer: Any, kind: Kind, shelf: Shelf, text: Tensor, low: float, high: float) -> Tensor:
    """Weighted squared error of the velocity at random noise levels."""
    clean, weight = shelf.latents, shelf.weight
    sigma = random_sigmas(len(clean), low, high, clean.device)
    noise = torch.randn_like(clean)
    level = sigma.view(-1, 1, 1, 1, 1)
    noisy, first = (1 - level) * clean + level * noise, None
    if "sound" in shelf.extra:  # what guidance leads away from hears nothing
        heard = torch.rand(len(clean), 1, 1, 1, device=clean.device) >= DEAF
        shelf = replace(shelf, extra=shelf.extra | {"sound": shelf.extra["sound"] * heard})
    if kind.name == "ti2v":
        first = torch.rand(len(clean), device=clean.device) < 0.5
        head = first.view(-1, 1, 1, 1)
        noisy[:, :, 0] = torch.where(head, clean[:, :, 0], noisy[:, :, 0])
        weight = weight.clone()
        weight[:, :, 0] = torch.where(head, 0.0, weight[:, :, 0])
    error = (velocity(transformer, kind, shelf, noisy, sigma, text, first) - (noise - clean)).square()
    return (error.mean(1, keepdim=True) * weight).mean() / weight.mean().clamp(min=1e-3)
