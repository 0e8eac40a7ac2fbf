"""Drafts: as cheap as the model allows, in the shape that was asked for, and each with what it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from common.catalog import CHECKPOINTS
from common.errors import InputError
from common.modes.all import MODES
from common.panels.widgets import NO_FILE, missing
from common.run.drafts import COUNT, STEPS, Drafts, drafts
from tests.common.fakes import manifest

T2V = MODES["t2v"]
PAGE = {"prompt": "a fox", "seed": 40, "num_inference_steps": 30, "flow_shift": 12.0, "guidance_scale": 4.0}


def made(values: dict[str, Any], key: str = "t2v", weights: str = "wan") -> Drafts:
    return drafts(MODES[key], manifest(MODES[key], weights=weights), values)


def test_a_draft_is_fast_and_small_and_of_the_same_shape() -> None:
    asked = {**PAGE, "preset": "quality", "width": 720, "height": 1280, "num_frames": 81}
    found = made(asked)
    assert [one.values["seed"] for one in found.members] == [40, 41, 42, 43] and len(found.members) == COUNT
    for one in found.members:
        assert (one.plan.preset, one.plan.num_inference_steps) == ("fast", 4), "none of Quality's numbers"
        assert (one.plan.width, one.plan.height, one.plan.num_frames) == (480, 832, 81)
        assert one.aim == {**asked, "seed": one.plan.seed}, "with all that was set"
    assert found.about == "Fast, 480×832, 4 steps"


def test_who_asks_for_fast_is_promised_qualitys_own_numbers() -> None:
    asked = {"prompt": "a fox", "preset": "fast", "num_inference_steps": 4, "guidance_scale": 1.0, "seed": 3}
    aim = made({**asked, "width": 1280, "height": 720}).members[1].aim
    assert aim == {"prompt": "a fox", "preset": "quality", "width": 1280, "height": 720, "seed": 4}
    plan = T2V.plan_by(manifest(T2V, weights="wan"), aim)
    assert (plan.preset, plan.num_inference_steps) == ("quality", 30)


@pytest.mark.parametrize("key", ["vace", "t2v"])
def test_where_there_is_no_fast_preset_a_draft_has_few_steps_and_says_so(key: str) -> None:
    checkpoint = {"vace": "wan2.1-vace-14b", "t2v": "wan2.1-t2v-1.3b"}[key]
    asked = {**PAGE, "checkpoint": checkpoint, "width": 832, "height": 480, "flow_shift": 8.0}
    if key == "vace":
        asked["video"] = NO_FILE
    found = made(asked, key)
    assert CHECKPOINTS[checkpoint].name in found.about and "no Fast preset" in found.about
    for one in found.members:
        assert one.plan.num_inference_steps == STEPS and one.plan.preset == "quality"
        assert one.aim is not None and one.aim["num_inference_steps"] == 30
        assert one.values["flow_shift"] == one.aim["flow_shift"] == 8.0


def test_a_model_that_is_fast_alone_is_promised_at_its_full_size() -> None:
    asked = {"prompt": "a fox", "checkpoint": "fastwan2.1-t2v-1.3b", "width": 832, "height": 480}
    found = made(asked)
    assert "nothing cheaper" in found.about and all(one.aim is None for one in found.members)
    assert len(found.members) == COUNT


def test_a_prompt_with_a_choice_has_drafts_of_each() -> None:
    found = made({"prompt": "a {red|blue} fox", "seed": 1}, weights="nano").members
    assert [one.aim and one.aim["prompt"] for one in found] == ["a red fox"] * 4 + ["a blue fox"] * 4
    assert {one.aim["seed"] for one in found if one.aim} == {1, 2, 3, 4}


@pytest.mark.parametrize("key", list(MODES))
@pytest.mark.parametrize("weights", ["nano", "wan"])
def test_every_model_of_every_mode_has_drafts_that_cost_no_more(key: Any, weights: str) -> None:
    mode = MODES[key]
    shown = manifest(mode, weights=weights)
    for info in shown.checkpoints:
        asked: dict[str, Any] = {"prompt": "a fox", "checkpoint": info.key, "preset": "quality"}
        asked |= missing(mode, asked)
        try:
            plan = mode.plan_by(shown, asked)
        except InputError:  # stand-ins are not enough for this one
            continue
        for one in drafts(mode, shown, asked).members:
            assert one.plan.expected_seconds <= plan.expected_seconds
            assert one.aim is None or mode.plan_by(shown, one.aim).expected_seconds >= one.plan.expected_seconds


def test_what_cannot_be_made_has_no_drafts() -> None:
    with pytest.raises(InputError, match="prompt must not be empty"):
        made({"prompt": " "})
