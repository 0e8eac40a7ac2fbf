"""What an H100 held, against what the placement says of the same clips today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import peaks
from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.memory import Shape
from common.modes.all import MODES
from common.placement import place

FILE = Path(__file__).parents[2] / "bench" / "results" / "plans-h100.json"
SEEN = json.loads(FILE.read_text("utf-8"))
CARD = Backend(device="cuda", name="an H100", memory_bytes=SEEN["memory_bytes"], capability=(9, 0))


def name(row: dict[str, Any]) -> str:
    return f"{row['checkpoint']} {row['size'][1]}p on {row['machine']}"


@pytest.mark.parametrize("row", SEEN["cases"], ids=name)
def test_placement_peak_is_the_one_that_was_measured(row: dict[str, Any]) -> None:
    checkpoint = CHECKPOINTS[row["checkpoint"]]
    job = MODES[row["mode"]].job(Shape(*row["size"]))
    placed = place(checkpoint, "wan", peaks.backend_of(row["machine"], CARD), job)
    assert placed is not None and placed.why == row["how"]
    assert row["peak_gb"] == pytest.approx(placed.peak_bytes / 1e9, rel=0.05)


def test_every_case_was_measured_and_completed() -> None:
    assert {name(row) for row in SEEN["cases"]} == {
        f"{case.checkpoint} {case.size.height}p on {case.machine}" for case in peaks.CASES
    }
    assert not [row for row in SEEN["cases"] if "failed" in row]
