"""The Hub's machines by name, Spaces' and Jobs' alike: what card they have, and whether a checkpoint fits it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.catalog import CHECKPOINTS
from common.contract import Backend, ModeKey
from common.memory import Shape
from common.modes.all import MODES
from common.placement import place, shortage, zerogpu


@dataclass(frozen=True)
class Card:
    """A GPU: bytes of its memory, CUDA's compute capability, and TFLOP/s in bf16 without sparsity, as published."""

    name: str
    memory_bytes: int
    capability: tuple[int, int]
    tflops: float


H100: Final = Card("NVIDIA H100", 80_000_000_000, (9, 0), 989)
"""Whose rates were measured: those of the others follow from it by what is published of both."""
CARDS: Final[Mapping[str, Card]] = {
    "l4": Card("NVIDIA L4", 24_000_000_000, (8, 9), 121),
    "a10g": Card("NVIDIA A10G", 24_000_000_000, (8, 6), 70),
    "l40s": Card("NVIDIA L40S", 48_000_000_000, (8, 9), 362),
    "a100": Card("NVIDIA A100", 80_000_000_000, (8, 0), 312),
    "h100": H100,
    "h200": Card("NVIDIA H200", 141_000_000_000, (9, 0), 989),
    "rtx-pro-6000": Card("NVIDIA RTX PRO 6000", 102_000_000_000, (12, 0), 504),
}
"""By how the Hub's names begin. A T4 is not among them: it has no bf16."""
_NAME = re.compile(rf"({'|'.join(sorted(CARDS, key=len, reverse=True))})(?:-(?:small|large))?(?:x(\d+))?")


def card(hardware: str) -> Card | None:
    """The card of a machine with a single one of them, by the machine's name; None for any other machine."""
    found = _NAME.fullmatch(hardware)
    return CARDS[found[1]] if found and found[2] in (None, "1") else None


def backend(hardware: str, host_bytes: int = 0) -> Backend | None:
    """The machine as a plan sees it; None for one without a card that is known here. 0 bytes of its own: as many as
    are wanted.
    """
    if (one := card(hardware)) is None:
        return None
    return Backend(
        device="cuda",
        name=one.name,
        memory_bytes=one.memory_bytes,
        host_bytes=host_bytes,
        capability=one.capability,
        compiles=one.capability == H100.capability,
    )


def lent(checkpoint: str) -> Backend:
    """ZeroGPU's, of the tier that a checkpoint asks for."""
    return zerogpu(CHECKPOINTS[checkpoint].gpu_size)


def lack(mode: ModeKey, checkpoint: str, machine: Backend) -> str:
    """Why a machine cannot make every clip that a checkpoint offers; empty where it can."""
    row = CHECKPOINTS[checkpoint]
    for size in row.sizes("wan"):
        job = MODES[mode].job(Shape(size.width, size.height, row.at_once("wan"), row.references))
        if place(row, "wan", machine, job) is None:
            return shortage(row, "wan", machine, job)
    return ""


def slower(hardware: str) -> float:
    """How many times as long as an H100 the card of a machine takes."""
    one = card(hardware)
    return H100.tflops / one.tflops if one else 1.0


