"""What an H100 held, against what the placement says of the same clips today."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import peaks
from common import cost
from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement
from common.memory import Shape
from common.modes.all import MODES
from common.placement import place

FILE = Path(__file__).parents[2] / "bench" / "results" / "plans-h100.json"
SEEN = json.loads(FILE.read_text("utf-8"))
SEGMENTED = [row for row in SEEN["cases"] if CHECKPOINTS[row["checkpoint"]].segments]
"""The others compile in the clip that is measured; see test_refit.py for their seconds."""
CARD = Backend(
    device="cuda", name="an H100", memory_bytes=SEEN["memory_bytes"], capability=(9, 0), compiles=True,
    attention="fa3",
)  # fmt: skip


def name(row: dict[str, Any]) -> str:
    return " ".join([row["checkpoint"], f"{row['size'][1]}p on", row["machine"], row.get("also", "")])


def planned(row: dict[str, Any]) -> Placement:
    checkpoint = CHECKPOINTS[row["checkpoint"]]
    job = MODES[row["mode"]].job(Shape(*row["size"], references=checkpoint.references))
    placed = place(checkpoint, "wan", peaks.backend_of(row["machine"], CARD), job)
    assert placed is not None
    return placed


@pytest.mark.parametrize("row", SEEN["cases"], ids=name)
def test_placement_peak_is_the_one_that_was_measured(row: dict[str, Any]) -> None:
    placed = planned(row)
    assert placed.why == row["how"]
    assert row["peak_gb"] == pytest.approx(placed.peak_bytes / 1e9, rel=0.05)


@pytest.mark.parametrize("row", SEGMENTED, ids=name)
@pytest.mark.parametrize("steps", [2, 0])
def test_expected_seconds_of_a_segment_are_those_that_were_measured(row: dict[str, Any], steps: int) -> None:
    """Two steps as they ran, and as many as the checkpoint's own preset has, by the last of them."""
    checkpoint, took = CHECKPOINTS[row["checkpoint"]], row["times"][-1]
    preset = next(iter(checkpoint.presets.values()))
    steps = steps or preset.num_inference_steps
    forwards = cost.forwards(steps, preset.guidance_scale)
    encodes = 1 if row["mode"] == "s2v" else 2  # of poses it was given none
    work = cost.Work(
        *row["size"], forwards, encodes, references=checkpoint.references, lora=row["also"] == "replace"
    )
    said = cost.seconds(checkpoint, "wan", "cuda", work, planned(row))
    assert said == pytest.approx(took["all"] + (steps - 2) * took["step"], rel=0.15)


def test_every_case_was_measured_and_completed() -> None:
    assert {name(row) for row in SEEN["cases"]} == {
        f"{case.checkpoint} {case.size.height}p on {case.machine} {case.also}" for case in peaks.CASES
    }
    assert not [row for row in SEEN["cases"] if "failed" in row]
