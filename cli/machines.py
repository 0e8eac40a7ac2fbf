"""The tables of docs/machines.md: what of each checkpoint runs where, drawn from the placement."""

from __future__ import annotations

from collections.abc import Iterator

from common import memory
from common.catalog import CHECKPOINTS, Checkpoint, Resolution
from common.contract import Backend, Placement
from common.memory import Shape
from common.modes.all import MODES
from common.placement import ZEROGPU_BYTES, Job, levers, place, possible, precision, quick, usable, zerogpu

_CPU = Backend(device="cpu", name="a CPU")
MACHINES = (
    ("Mac, 128 GB", Backend(device="mps", name="a Mac", memory_bytes=107_000_000_000)),
    *((f"ZeroGPU {tier}", zerogpu(tier)) for tier in ZEROGPU_BYTES),
    (
        "H100, 80 GB",
        Backend(
            device="cuda", name="an H100", memory_bytes=85_017_493_504, capability=(9, 0), compiles=True,
            attention="fa3",
        ),
    ),
    ("24 GB card", Backend(device="cuda", name="a card", memory_bytes=25_300_000_000, capability=(8, 9))),
    ("CPU, 16 GB", _CPU.model_copy(update={"memory_bytes": 16_000_000_000})),
    ("CPU, 64 GB", _CPU.model_copy(update={"memory_bytes": 64_000_000_000})),
)
"""By the memory that torch says they have: on a Mac what Metal recommends, three quarters or a little more."""


def checkpoints() -> list[Checkpoint]:
    """Those that a mode of ours runs, in the order of the menus."""
    return [CHECKPOINTS[k] for k in dict.fromkeys(row.key for mode in MODES.values() for row in mode.rows())]


def job(row: Checkpoint, size: Resolution) -> Job:
    """A clip of the model's own length, as the mode that asks most of it makes it."""
    modes = [mode for mode in MODES.values() if row.key in mode.checkpoints]
    shape = Shape(size.width, size.height, row.at_once("wan"), row.references)
    return max((mode.job(shape) for mode in modes), key=lambda asked: asked.reads_media)


def sizes(row: Checkpoint) -> Iterator[Resolution]:
    """One of each area, the smallest first."""
    yield from {size.area: size for size in reversed(row.sizes("wan"))}.values()


def markdown() -> str:
    """Every checkpoint and size on every machine: how it runs and at what peak, or what runs instead."""
    lines = [
        f"| Checkpoint | Clip | {' | '.join(name for name, _ in MACHINES)} |",
        f"| --- | --- | {' | '.join('---' for _ in MACHINES)} |",
    ]
    for row in checkpoints():
        for size in sorted(sizes(row), key=lambda r: r.area):
            cells = [_cell(row, backend, job(row, size)) for _, backend in MACHINES]
            clip = f"{size.size} × {row.at_once('wan')}"
            lines.append(f"| {row.name} | {clip} | {' | '.join(cells)} |")
    return "\n".join(lines)


def weights_markdown() -> str:
    """What each checkpoint's weights take on a GPU as they are, and whether a tier of ZeroGPU holds all its sizes."""
    tiers = list(ZEROGPU_BYTES)
    lines = [
        f"| Checkpoint | Transformer | Text encoder | VAE, CLIP | Together | {' | '.join(tiers)} |",
        f"| --- | --- | --- | --- | --- | {' | '.join('---' for _ in tiers)} |",
    ]
    for row in checkpoints():
        parts = {
            p: memory.BYTES[precision(p, "cuda")] * n for p, n in memory.parameters(row.architecture).items()
        }
        rest = parts["vae"] + parts["image_encoder"]
        columns = [parts["transformer"], parts["text_encoder"], rest, sum(parts.values())]
        cells = [
            *(f"{size / 1e9:.1f} GB" for size in columns),
            *(_tier(row, zerogpu(tier)) for tier in tiers),
        ]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def backends_markdown() -> str:
    """In which formats each kind of machine works, and what it may do to make a job fit."""
    row = CHECKPOINTS["wan2.1-t2v-14b"]
    facts = {
        "For models": [f"{usable(m) / 1e9:.0f} GB" for _, m in MACHINES],
        "Transformer, text encoder": [precision("transformer", m.device) for _, m in MACHINES],
        "VAE, CLIP": [precision("vae", m.device) for _, m in MACHINES],
        "Compiled, and in 8 bits, first": ["yes" if quick(row, m) else "no" for _, m in MACHINES],
        "To fit, in this order": ["; ".join(levers(row, m)) for _, m in MACHINES],
    }
    lines = [
        f"| | {' | '.join(name for name, _ in MACHINES)} |",
        f"| --- | {' | '.join('---' for _ in MACHINES)} |",
    ]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(cells)} |" for name, cells in facts.items())])


def _tier(row: Checkpoint, tier: Backend) -> str:
    if not all(place(row, "wan", tier, job(row, size)) for size in sizes(row)):
        fits = [size.size for size in sizes(row) if place(row, "wan", tier, job(row, size))]
        return f"{', '.join(fits)} alone" if fits else "no"
    placed = place(row, "wan", tier, job(row, max(sizes(row), key=lambda r: r.area)))
    return "in 8 bits" if placed and placed.precision["transformer"] == "float8" else "yes"


def _cell(row: Checkpoint, backend: Backend, job: Job) -> str:
    placed = place(row, "wan", backend, job)
    if placed is not None:
        return ", ".join([f"{placed.peak_bytes / 1e9:.0f} GB", *_ways(placed)])
    area = job.shape.width * job.shape.height
    shorter = [frames for size, frames in possible(row, "wan", backend, job) if size.area == area]
    return f"no; {shorter[0]} frames" if shorter else "no"


def _ways(placed: Placement) -> list[str]:
    ways = {
        placed.precision["transformer"].replace("float", "fp").replace("bfp", "bf"): True,
        "compiled": placed.compile != "none",
        "bf16 decode": placed.precision["vae_decode"] == "bfloat16",
        "tiles": placed.tiling,
        "text encoder away": placed.offload == "text_encoder",
        "group offload": placed.offload == "group",
        "attention in pieces": placed.attention == "chunked",
    }
    return [name for name, there in ways.items() if there]
