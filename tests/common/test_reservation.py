"""What is asked of ZeroGPU, and what it takes of a visitor's day."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest

from common import cost
from common.contract import Backend, Plan
from common.modes.all import MODES
from common.placement import zerogpu

PICTURE: dict[str, dict[str, Any]] = {"t2v": {}, "i2v": {"image": {"path": "/nowhere.png"}}}


def test_zerogpu_bills_what_spaces_asks_for() -> None:
    """The package's own factor, off the whole card; that one counts twice by itself."""
    config = json.loads(files("spaces.zero").joinpath("configs.json").read_text())
    blackwell = next(c for c in config if "RTX PRO 6000" in c["model"])
    assert cost.billed(100, "large") == 100 * blackwell["duration_factor"] == 150
    assert cost.billed(100, "xlarge") == 200


def test_zerogpu_reservation_counts_the_way_of_the_weights_to_the_worker() -> None:
    t2v = MODES["t2v"]
    for key, tier, gigabytes in (("wan2.1-t2v-14b", "large", 25.6), ("wan2.2-t2v-a14b", "xlarge", 68.8)):
        plan = t2v.plan(t2v.parse({"prompt": "a", "checkpoint": key}), zerogpu(tier), weights="wan")
        assert plan.placement is not None
        assert plan.placement.weight_bytes / 1e9 == pytest.approx(gigabytes, abs=0.1)
        moved = cost.transfer(f"zerogpu-{tier}", plan.placement.weight_bytes)
        assert moved == pytest.approx(plan.placement.weight_bytes / 3e9)
        assert plan.gpu_duration >= plan.expected_seconds > moved
        assert plan.gpu_seconds == cost.billed(plan.gpu_duration, tier)
    assert cost.transfer("cuda", 10**12) == 0, "they lie there already"


def test_zerogpu_moves_less_where_the_mounted_weights_are_in_8_bits() -> None:
    """No LoRA that is off, no table of words, and half of what blocks were: 41 GB at the most, where it was 69."""
    for mode, key in (("t2v", "wan2.2-t2v-a14b"), ("i2v", "wan2.2-i2v-a14b")):
        there = zerogpu("xlarge").model_copy(update={"in_8_bits": [key]})
        asked = MODES[mode].parse({"prompt": "a", "checkpoint": key, **PICTURE[mode]})
        wide, thin = (MODES[mode].plan(asked, m, weights="wan") for m in (zerogpu("xlarge"), there))
        assert wide.placement and thin.placement and thin.loras
        assert thin.placement.weight_bytes <= 41e9 < 68e9 < wide.placement.weight_bytes
        saved = wide.placement.weight_bytes - thin.placement.weight_bytes
        assert wide.expected_seconds - thin.expected_seconds == pytest.approx(saved / 3e9, rel=0.01)
        slow = MODES[mode].plan(asked.model_copy(update={"preset": "quality"}), there, weights="wan")
        assert slow.placement and slow.placement.weight_bytes < 39.1e9


def test_zerogpu_reservation_of_a_job_is_the_same_wherever_it_is_planned() -> None:
    """A local machine says what the Space of the checkpoint's own tier would."""
    t2v = MODES["t2v"]
    request = t2v.parse({"prompt": "a", "checkpoint": "wan2.2-t2v-a14b"})
    here = t2v.plan(request, Backend(device="cpu"), weights="wan")
    there = t2v.plan(request, zerogpu("xlarge"), weights="wan")
    assert here.gpu_size is None and there.gpu_size == "xlarge"
    assert (here.gpu_duration, here.gpu_seconds) == (there.gpu_duration, there.gpu_seconds)


def test_a_plan_of_an_older_video_is_still_read() -> None:
    """Its lineage lies in the file; a field that came later must not make it unreadable."""
    t2v = MODES["t2v"]
    now = t2v.plan(t2v.parse({"prompt": "a"}))
    before = now.model_dump(exclude={"gpu_duration", "placement"})
    assert Plan.model_validate(before).seed == now.seed
