"""What of a checkpoint lies in memory in which number format, and how many bytes that takes: without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from common.catalog import (
    CLIP_PARAMETERS,
    TEXT_ENCODER_PARAMETERS,
    VAE_PARAMETERS,
    Checkpoint,
    GpuSize,
    Weights,
)
from common.contract import Backend, Device

Precision = Literal["float32", "bfloat16"]
"""Number formats by torch's names."""

_BYTES: Final[Mapping[Precision, int]] = {"float32": 4, "bfloat16": 2}
_FULL = ("vae", "image_encoder")
_NANO_BYTES = 40_000_000
"""All of Wan-Nano: a rounding error."""

ZEROGPU_BYTES: Final[Mapping[GpuSize, int]] = {"large": 48 * 10**9, "xlarge": 96 * 10**9}
"""GPU memory of a tier of ZeroGPU."""


def precision(part: str, device: Device) -> Precision:
    """The format of a pipeline's part, by its name in diffusers: VAE and CLIP are in full everywhere."""
    return "float32" if part in _FULL or device == "cpu" else "bfloat16"


def weight_bytes(checkpoint: Checkpoint, weights: Weights, device: Device) -> int:
    """Bytes of all weights in memory."""
    if weights == "nano":
        return _NANO_BYTES
    a = checkpoint.architecture
    parameters = {
        "transformer": a.parameters * a.experts,
        "text_encoder": TEXT_ENCODER_PARAMETERS,
        "vae": VAE_PARAMETERS[a.spatial],
        "image_encoder": CLIP_PARAMETERS if a.clip else 0,
    }
    return sum(_BYTES[precision(part, device)] * number for part, number in parameters.items())


def fits(checkpoint: Checkpoint, weights: Weights, backend: Backend) -> bool:
    """Whether a machine can hold the weights; yes where its memory is not known."""
    have = backend.memory_bytes
    return not have or weight_bytes(checkpoint, weights, backend.device) <= have


def shortage(checkpoint: Checkpoint, weights: Weights, backend: Backend) -> str:
    """What a checkpoint needs and what is there, in words."""
    need = weight_bytes(checkpoint, weights, backend.device)
    return (
        f"{checkpoint.name} needs {need / 1e9:.0f} GB, {backend.name} has {backend.memory_bytes / 1e9:.0f} GB"
    )
