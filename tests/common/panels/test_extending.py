"""What Extend asks for: the mode that sees most of a clip, the model most like the one before."""

from __future__ import annotations

from typing import Any

import pytest

from common.contract import Lineage, MediaHandle
from common.errors import InputError
from common.modes.all import MODES
from common.panels.extending import continuation, target_of
from tests.common.fakes import manifest

CLIP = MediaHandle(path="a.mp4", mime="video/mp4")


def made(mode: str, **values: Any) -> Lineage:
    m = MODES[mode]  # type: ignore[index]
    plan = m.plan(m.parse({"prompt": "x", **values}), weights="wan")
    return Lineage(request={"prompt": "a cat", **values}, plan=plan, seed=1, versions={}, git_sha="", created="")


def on(of: Lineage, target: str) -> Lineage:
    mode = MODES[target]  # type: ignore[index]
    return continuation(of, MODES[of.plan.mode], CLIP, mode, manifest(mode, weights="wan"))


def test_the_mode_that_goes_on() -> None:
    assert [target_of(m, MODES) for m in ("t2v", "i2v", "vace", "animate")] == ["i2v", "i2v", "vace", "i2v"]
    assert target_of("vace", ["i2v"]) == "i2v" and target_of("t2v", ["t2v"]) is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("wan2.2-t2v-a14b", "wan2.2-i2v-a14b"),
        ("wan2.2-ti2v-5b", "wan2.2-ti2v-5b"),
        ("wan2.1-t2v-1.3b", "wan2.1-i2v-14b-480p"),
    ],
)
def test_the_model_and_the_size_are_as_before_where_they_can(before: str, after: str) -> None:
    lineage = made("t2v", checkpoint=before)
    asked = on(lineage, "i2v")
    assert asked.plan.checkpoint == after and asked.request["prompt"] == "a cat"
    assert (asked.plan.width, asked.plan.height) == (lineage.plan.width, lineage.plan.height)
    assert asked.plan.continues is not None and asked.plan.continues.frames == lineage.plan.num_frames
    assert "image" not in asked.request


def test_what_would_become_too_long_is_told_at_the_click() -> None:
    lineage = made("t2v")
    long = lineage.plan.model_copy(update={"num_frames": 1900})
    with pytest.raises(InputError, match="must not make a video longer than 120 s"):
        on(lineage.model_copy(update={"plan": long}), "i2v")
