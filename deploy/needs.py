"""What a Space takes of a machine: memory, disk, and how long its longest job goes on. Limits follow from this."""

from __future__ import annotations

from dataclasses import dataclass

from common import memory
from common.budgets import BUDGETS
from common.catalog import CHECKPOINTS, Checkpoint
from common.contract import Backend
from common.cost import download_bytes
from common.memory import Shape
from common.placement import HOST_SHARE, Job, most_waiting, place, precision
from deploy.clips import clip
from deploy.targets import Target

PROCESS_BYTES = 4_000_000_000
"""Of a Space beside its weights: Python, torch and CUDA's context, and the frames of a clip on their way."""
ROUTER_BYTES = 2_000_000_000
COMPILED_BYTES = 2_000_000_000
"""What torch has compiled, and Wan-Nano put together."""
ANY_CARD = Backend(device="cuda", name="any card", capability=(9, 0), compiles=True, attention="fa3", step_cache=True)
"""On which all can be done that needs memory elsewhere: it is not known here which card a container will get."""
SLOWER = 4
"""How many times as long as on an H100, whose rates are known, a job may take before it is ended with its Space."""
LEAST_SECONDS = 120


@dataclass(frozen=True)
class Needs:
    """Bytes of memory, of weights on disk, and of files that come and go; seconds that a job may still need."""

    memory_bytes: int
    weights_bytes: int
    files_bytes: int
    longest_seconds: int


def on_gpu(target: Target) -> bool:
    """Whether a Space is to have a GPU: the Hub's names of those without begin alike."""
    return target.mode is not None and not target.hardware.startswith("cpu-")


def needs(target: Target) -> Needs:
    """Of the router, or of the checkpoints that a Space carries; it has one of them in memory at a time."""
    if target.mode is None:
        files = BUDGETS.cache_bytes + BUDGETS.gallery_bytes
        return Needs(ROUTER_BYTES, 0, files, LEAST_SECONDS)
    files = BUDGETS.cache_bytes + COMPILED_BYTES
    if target.weights == "nano":
        return Needs(PROCESS_BYTES, 0, files, LEAST_SECONDS)
    rows = [CHECKPOINTS[key] for key in target.checkpoints]
    repacked = bool(target.volumes)
    return Needs(
        PROCESS_BYTES + max(_in_memory(row, target) for row in rows),
        sum(_repacked(row) if repacked else download_bytes(row) for row in rows),
        files,
        max(LEAST_SECONDS, *(_longest(row, target) for row in rows)),
    )


def _in_memory(row: Checkpoint, target: Target) -> int:
    if on_gpu(target):
        return int(most_waiting(row, ANY_CARD) / HOST_SHARE)
    largest = max(row.sizes("wan"), key=lambda size: size.area)
    shape = Shape(largest.width, largest.height, row.at_once("wan"), row.references)
    placed = place(row, "wan", Backend(), Job(shape, reads_media=True))
    return placed.peak_bytes if placed else 0


def _repacked(row: Checkpoint) -> int:
    """Bytes of a bf16 repack; one in 8 bits is smaller."""
    parts = memory.parameters(row.architecture)
    return int(sum(memory.BYTES[precision(part, "cuda")] * n for part, n in parts.items()))


def _longest(row: Checkpoint, target: Target) -> int:
    assert target.mode is not None
    quality = "quality" if "quality" in row.presets else "fast"
    largest = max(row.sizes("wan"), key=lambda size: size.area)
    plan = clip(target.mode, row.key, quality, ANY_CARD, width=largest.width, height=largest.height)
    return int(SLOWER * plan.expected_seconds)


