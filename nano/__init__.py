"""Wan-Nano: tiny Wan checkpoints in real diffusers folders, embedded in the repository."""

from __future__ import annotations

from pathlib import Path

from nano.kinds import KINDS, Kind, kind_named

__all__ = ["KINDS", "find", "kind_named", "lora", "Kind"]  # noqa: RUF022 - the order one reads in


def find(kind: str) -> Path:
    """A folder that the kind's diffusers pipeline loads with `from_pretrained`."""
    from nano.assemble import checkpoint_folder

    return checkpoint_folder(kind_named(kind))


def lora(kind: str) -> dict[str, Path]:
    """Lightning-Nano files by the component that each is for; KeyError for kinds that have none."""
    from nano.assemble import lora_files

    return lora_files(kind_named(kind))
