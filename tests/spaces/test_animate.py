"""Animate through its engine, with Wan-Nano: both modes, several segments, what a stop leaves to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common import cache
from common.contract import Notice, Stage, Step
from common.errors import InputError
from tests.spaces import media_for_modes as media

EXAMPLES = Path(__file__).parents[2] / "common/examples"
STAR = {"path": str(EXAMPLES / "yellow-star.png")}
DRIVING = {"path": str(EXAMPLES / "red-circle.mp4"), "mime": "video/mp4"}
SHORT: dict[str, Any] = {"prompt": "", "image": STAR, "video": DRIVING, "num_inference_steps": 1, "seed": 7}


@pytest.fixture
def jobs(service):
    """`jobs(**values)`: the updates of a job, as they come."""

    def start(**values: Any):
        engine = service("animate")
        request = engine.mode.parse({**SHORT, **values})
        return engine.generate(request, engine.plan(request))

    return start


def finished(updates) -> tuple[np.ndarray, list[Any]]:
    events = list(updates)
    path, done = events[-1]
    assert done.type == "done"
    return media.read(path), [event for _, event in events]


@pytest.mark.parametrize("animate_mode", ["animate", "replace"])
def test_it_is_as_long_as_the_driving_video_in_segments(jobs, animate_mode) -> None:
    frames, events = finished(jobs(animate_mode=animate_mode))
    # 17 frames at 16 fps are 32 at 30: two segments of 17, which share a frame, and one frame is cut off.
    assert frames.shape == (32, 128, 128, 3)
    steps = [e for e in events if isinstance(e, Step)]
    assert [(s.index, s.total, s.segment, s.segments) for s in steps] == [(1, 2, 1, 2), (2, 2, 2, 2)]
    assert [s.text for s in (e for e in events if isinstance(e, Stage)) if s.name == "denoise"] == [
        "Denoising segment 1 of 2, 1 steps", "Denoising segment 2 of 2, 1 steps"
    ]  # fmt: skip
    counted = [(e.done, e.total) for e in events if isinstance(e, Stage) and e.name == "prepare" and e.total]
    assert counted and counted[-1] == (32, 32) and counted == sorted(counted)


def test_a_stopped_job_keeps_its_segments_and_goes_on_to_the_same_frames(jobs) -> None:
    asked = {"seed": 11, "num_inference_steps": 3}
    whole, _ = finished(jobs(**asked))
    updates = jobs(**asked)
    for _, event in updates:
        if isinstance(event, Step) and event.segment == 2:
            (first,) = (cache.results() / "segments").rglob("*.npy")
            assert cache.held(first), "no sweep may take it while the second is made"
            updates.close()
            break
    frames, events = finished(jobs(**asked))
    assert [e.segment for e in events if isinstance(e, Step)] == [2, 2, 2], "the first is not made again"
    assert any("1 of 2 segments" in e.text for e in events if isinstance(e, Notice))
    np.testing.assert_array_equal(frames, whole)
    _, events = finished(jobs(seed=12))
    assert [e.segment for e in events if isinstance(e, Step)] == [1, 2], "another seed is another video"


def test_animate_2_has_nothing_to_prepare(service) -> None:
    engine = service("animate")
    request = engine.mode.parse(SHORT)
    plan = engine.plan(request).model_copy(update={"checkpoint": "wan2.2-animate-2-14b"})
    with pytest.raises(InputError, match="has nothing to prepare: it looks at the driving video itself"):
        next(engine.prepare(request, plan))
