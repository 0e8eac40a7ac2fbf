"""Tiny Wan-S2V: weights and inputs that follow from their names alone, the same here and in upstream's model.

numpy promises that what `RandomState` draws never changes; torch does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

FRAMES, HEIGHT, WIDTH = 3, 16, 24
WORDS, TEXT_DIM, AUDIO_DIM = 8, 24, 6
MOTION = (73, 19)

UPSTREAM_CONFIG: dict[str, Any] = {
    "dim": 40, "num_heads": 2, "num_layers": 3, "ffn_dim": 48, "freq_dim": 16, "text_dim": TEXT_DIM,
    "text_len": WORDS, "audio_dim": AUDIO_DIM, "cond_dim": 16, "audio_inject_layers": [0, 2], "enable_adain": True,
    "adain_mode": "attn_norm", "enable_motioner": False, "enable_framepack": True, "framepack_drop_mode": "padd",
    "add_last_motion": True, "zero_timestep": True, "zero_init": False,
}  # fmt: skip
"""As the published config.json says it, in small; `text_dim` and `text_len` are not in that."""


@dataclass(frozen=True)
class Case:
    """How a clip is made; `config` changes the model."""

    first: bool = False
    pose: bool = False
    batch: int = 1
    add_last_motion: int = 2
    config: Mapping[str, Any] = field(default_factory=dict)


CASES = {
    "first clip": Case(first=True),
    "first clip, poses": Case(first=True, pose=True),
    "later clip": Case(),
    "later clip, poses": Case(pose=True),
    "two at once": Case(pose=True, batch=2),
    "not the last frame": Case(add_last_motion=1),
    "the farthest alone": Case(add_last_motion=0),
    "drop nothing": Case(config={"framepack_drop_mode": "drop"}),
    "drop the last frame": Case(add_last_motion=1, config={"framepack_drop_mode": "drop"}),
    "drop the last three": Case(add_last_motion=0, config={"framepack_drop_mode": "drop"}),
    "the config adds none": Case(config={"add_last_motion": False}),
    "no framepack": Case(config={"enable_framepack": False}),
    "no adain": Case(config={"enable_adain": False}),
}


def drawn(name: str, shape: Sequence[int]) -> Tensor:
    """Normal numbers that follow from `name`."""
    draw = np.random.RandomState(crc32(name.encode()))
    return torch.from_numpy(draw.standard_normal(tuple(shape))).float()


def weight(upstream_name: str, shape: Sequence[int]) -> Tensor:
    """A weight by upstream's name, of a size at which signals neither fade nor grow."""
    made = drawn(upstream_name, shape)
    if upstream_name == "casual_audio_encoder.weights":
        return 0.5 + 0.1 * made  # they are divided by their sum
    if "norm" in upstream_name and upstream_name.endswith("weight"):
        return 1 + 0.1 * made
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 and upstream_name.endswith("weight") else 4
    return made / fan_in**0.5


def inputs(case: Case) -> dict[str, Any]:
    """The arguments of our model's forward."""
    size = (case.batch, 16, FRAMES, HEIGHT, WIDTH)
    return {
        "hidden_states": drawn("noise", size),
        "timestep": torch.tensor([875.0, 312.5][: case.batch]),
        "encoder_hidden_states": drawn("words", (case.batch, WORDS, TEXT_DIM)),
        "motion_latents": drawn("motion", (case.batch, 16, MOTION[1], HEIGHT, WIDTH)),
        "audio_embeds": drawn("sound", (case.batch, 25, AUDIO_DIM, 4 * FRAMES)),
        "image_latents": drawn("picture", (case.batch, 16, 1, HEIGHT, WIDTH)),
        "pose_latents": drawn("poses", size) if case.pose else None,
        "motion_frames": MOTION,
        "drop_motion_frames": case.first,
        "add_last_motion": case.add_last_motion,
    }


SHOWN = 200


def some(sample: Tensor) -> list[float]:
    """200 values of a sample, from all over it."""
    places = np.random.RandomState(0).choice(sample.numel(), SHOWN, replace=False)
    return sample.flatten()[torch.from_numpy(places)].tolist()
