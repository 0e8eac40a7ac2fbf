"""Rows of the catalog in the size of Wan-Nano, so that its folders can stand for repositories of Wan-AI."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nano
from common.catalog import CHECKPOINTS, Checkpoint
from common.runtime.model import configs


def tiny(row: Checkpoint) -> Checkpoint:
    """The row with the sizes of the Wan-Nano model that stands in for it."""
    t = nano.kind_named(row.kind).transformer
    made = replace(
        row.architecture, layers=t["num_layers"], dim=t["num_attention_heads"] * t["attention_head_dim"],
        ffn=t["ffn_dim"], control_layers=len(t.get("vace_layers", ())),
    )  # fmt: skip
    return replace(row, architecture=made)


def shrink(patch: pytest.MonkeyPatch) -> None:
    """All rows, for as long as the patch holds."""
    rows = {k: tiny(c) for k, c in CHECKPOINTS.items() if c.kind in nano.KINDS}
    for key, row in rows.items():
        patch.setitem(CHECKPOINTS, key, row)  # type: ignore[arg-type]
    patch.setattr(configs, "FULL_SIZE", {})


def copied(kind: str, target: Path) -> Path:
    """A Wan-Nano model as a folder of plain files that may be changed."""
    shutil.copytree(nano.find(kind), target)
    return target


def change(file: Path, **values: Any) -> None:
    """Other values in a JSON file; None takes a key away."""
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
