"""Animate as ZeroGPU would run it: each segment is a reservation of its own, and a lost one costs no other."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gradio_client import handle_file

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package
from a_space import ROOT, Space, frames, started

pytestmark = pytest.mark.slow

EXAMPLES = ROOT / "common/examples"
SHORT: dict[str, Any] = {
    "image": handle_file(str(EXAMPLES / "yellow-star.png")), "video": handle_file(str(EXAMPLES / "red-circle.mp4")),
    "num_inference_steps": 2, "seed": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with started(tmp_path_factory.mktemp("zerogpu"), "animate", SHORT) as space:
        yield space


def test_zerogpu_reserves_segment_by_segment(space) -> None:
    plan = space.client().predict(**SHORT, num_frames=32, api_name="/plan")
    assert len(plan["segments"]) == 2 and plan["gpu_size"] == "xlarge"
    assert plan["gpu_seconds"] == 2 * 2 * plan["gpu_duration"], (
        "both segments, and the whole card counts twice"
    )
    before = len(space.api.of("/schedule"))
    assert frames(space.submit().result(timeout=200)).shape == (32, 128, 128, 3)
    asked = space.api.of("/schedule")[before:]
    assert len(asked) == 2


def test_zerogpu_a_worker_that_dies_in_the_second_segment_costs_no_first(space) -> None:
    asked = {"seed": 7, "num_inference_steps": 12}  # the second segment is still at work when its worker dies
    job, killed = space.submit(**asked), False
    with pytest.raises(Exception, match="the GPU process was ended in the middle of the job"):
        for _, event in job:
            if event["type"] == "step" and event["segment"] == 2 and not killed:
                killed = True
                for pid in {int(allowed["pid"]) for allowed in space.api.of("/allow")}:
                    with suppress(ProcessLookupError):  # which of those that idled has the job, nobody says
                        os.kill(pid, signal.SIGKILL)
        job.result(timeout=200)
    assert killed
    again = space.submit(**asked)
    assert {event["segment"] for _, event in again if event["type"] == "step"} == {2}
    whole = space.submit(**asked)
    assert {event["segment"] for _, event in whole if event["type"] == "step"} == {1, 2}, (
        "a video leaves none behind"
    )
    np.testing.assert_array_equal(frames(again.result()), frames(whole.result()))
