"""The tables of the README and of `wan-studio modes`, drawn from the catalog."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from common.budgets import PREFIX, Budgets
from common.catalog import CHECKPOINTS, LORAS, Checkpoint
from common.contract import Backend, Placement
from common.memory import Shape
from common.modes.all import COMING, MODES
from common.placement import ZEROGPU_BYTES, Job, place, possible, zerogpu


def as_data() -> list[dict[str, Any]]:
    """Modes with their checkpoints and presets, for programs."""
    return [
        {
            "mode": key,
            "title": mode.title,
            "checkpoints": [
                {
                    "key": row.key,
                    "name": row.name,
                    "generation": row.generation,
                    "repo": row.repo,
                    "fps": row.fps,
                    "num_frames": row.num_frames,
                    "sizes": [r.size for r in row.resolutions],
                    "gpu_size": row.gpu_size,
                    "presets": {
                        name: {"num_inference_steps": p.num_inference_steps, "loras": list(p.loras)}
                        for name, p in row.presets.items()
                    },
                }
                for row in mode.rows()
            ],
        }
        for key, mode in MODES.items()
    ]


def _presets(row: Checkpoint) -> str:
    parts: list[str] = []
    for name, preset in row.presets.items():
        lightning = " + Lightning" if preset.loras else ""
        parts.append(f"{name} {preset.num_inference_steps} steps{lightning}")
    return ", ".join(parts)


def text() -> str:
    """A plain list for a terminal."""
    lines: list[str] = []
    for key, mode in MODES.items():
        lines.append(f"{key:8} {mode.title}: {mode.about}")
        lines += [f"         {row.key:24} {row.name:28} {_presets(row)}" for row in mode.rows()]
    lines += [f"{key:8} {reason}" for key, (_, reason) in COMING.items()]
    return "\n".join(lines)


def markdown() -> str:
    """The README's table of modes and checkpoints."""
    lines = [
        "| Mode | Checkpoint | Key | Sizes | Frames @ fps | Presets | ZeroGPU |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for mode in MODES.values():
        for row in mode.rows():
            sizes = ", ".join(r.size for r in row.resolutions)
            frames = f"{row.num_frames} @ {row.fps}"
            lines.append(
                f"| {mode.title} | [{row.name}](https://huggingface.co/{row.repo}) | `{row.key}` | {sizes} "
                f"| {frames} | {_presets(row)} | {row.gpu_size} |"
            )
    lines += [f"| {key} | *{reason}* | | | | | |" for key, (_, reason) in COMING.items()]
    return "\n".join(lines)


def lora_markdown() -> str:
    """The README's table of LoRAs and who uses them."""
    lines = ["| LoRA | Repository | Used by |", "| --- | --- | --- |"]
    for lora in LORAS.values():
        users = [
            row.name for row in CHECKPOINTS.values() if any(lora.key in p.loras for p in row.presets.values())
        ]
        lines.append(f"| {lora.name} | {lora.repo} | {', '.join(users) or lora.note} |")
    return "\n".join(lines)


MACHINES = (
    ("Mac, 128 GB", Backend(device="mps", name="a Mac", memory_bytes=107_000_000_000)),
    *((f"ZeroGPU {tier}", zerogpu(tier)) for tier in ZEROGPU_BYTES),
    ("H100, 80 GB", Backend(device="cuda", name="an H100", memory_bytes=85_017_493_504, capability=(9, 0))),
    ("24 GB card", Backend(device="cuda", name="a card", memory_bytes=25_300_000_000, capability=(8, 9))),
    ("CPU, 64 GB", Backend(device="cpu", name="a CPU", memory_bytes=64_000_000_000)),
)
"""What docs/machines.md shows."""


def machines_markdown() -> str:
    """Every checkpoint at its largest size and own length on every machine: how, and at what peak."""
    lines = [
        f"| Checkpoint | Largest | {' | '.join(name for name, _ in MACHINES)} |",
        f"| --- | --- | {' | '.join('---' for _ in MACHINES)} |",
    ]
    for key in dict.fromkeys(row.key for mode in MODES.values() for row in mode.rows()):
        row = CHECKPOINTS[key]
        mode = next(m for m in MODES.values() if key in m.checkpoints)
        size = max(row.sizes("wan"), key=lambda r: r.width * r.height)
        frames = row.default_frames("wan")
        job = mode.job(row, Shape(size.width, size.height, frames))
        cells = [_cell(row, backend, job) for _, backend in MACHINES]
        lines.append(f"| {row.name} | {size.size} × {frames} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Checkpoint, backend: Backend, job: Job) -> str:
    placed = place(row, "wan", backend, job)
    if placed is not None:
        return ", ".join([f"{placed.peak_bytes / 1e9:.0f} GB", *_ways(placed)])
    if found := possible(row, "wan", backend, job):
        size, frames = found[0]
        return f"no; {size.size} × {frames}"
    return "no"


def _ways(placed: Placement) -> list[str]:
    ways = {
        "fp8": placed.precision["transformer"] == "float8",
        "bf16 decode": placed.precision["vae_decode"] == "bfloat16",
        "tiles": placed.tiling,
        "text encoder away": placed.offload == "text_encoder",
        "group offload": placed.offload == "group",
    }
    return [name for name, there in ways.items() if there]


def limits_markdown() -> str:
    """The limits of `common/budgets.py`, for docs/limits.md."""
    lines = ["| Limit | Default | What it bounds |", "| --- | --- | --- |"]
    for f in fields(Budgets):
        lines.append(
            f"| `{PREFIX}{f.name.upper()}` | {f.default:,} {f.metadata['unit']} | {f.metadata['about']} |"
        )
    return "\n".join(lines)
