"""The tables of the README and of `wan-studio modes`, drawn from the catalog."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from common.budgets import PREFIX, Budgets
from common.catalog import CHECKPOINTS, LORAS, Checkpoint
from common.modes.all import MODES


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


def limits_markdown() -> str:
    """The limits of `common/budgets.py`, for docs/limits.md."""
    lines = ["| Limit | Default | What it bounds |", "| --- | --- | --- |"]
    for f in fields(Budgets):
        lines.append(
            f"| `{PREFIX}{f.name.upper()}` | {f.default:,} {f.metadata['unit']} | {f.metadata['about']} |"
        )
    return "\n".join(lines)
