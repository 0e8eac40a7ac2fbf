"""The configs that the memory bench makes are those of the real checkpoints: their parts have as many parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import full_size
from common.catalog import CHECKPOINTS, Checkpoint
from common.memory import parameters
from common.modes.all import MODES
from common.runtime.model import index
from common.runtime.model.load import pipeline_class

ROWS = {
    row.pipeline + row.kind + str(row.architecture.dim): row for mode in MODES.values() for row in mode.rows()
}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.key)
def test_parts_have_the_parameters_of_the_catalog(row: Checkpoint, tmp_path: Path) -> None:
    pipeline_class("WanPipeline")  # imports diffusers in the right order
    made = full_size.folder(row, tmp_path / row.key)
    counted = dict.fromkeys(parameters(row.architecture), 0)
    for part, entry in index.read(made)[1].items():
        kind = "transformer" if part.startswith("transformer") else part
        if kind in counted:
            module = full_size.module(made / part, entry, "meta")
            counted[kind] += sum(p.numel() for p in module.parameters())
    assert counted == parameters(row.architecture)
    assert CHECKPOINTS[row.key] is row
