"""A long video over a pool: what a worker has finished is not made again when it dies."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from common.contract import Done, Notice, Step
from common.runtime import again
from common.runtime.lending import pool as pools
from common.runtime.lending.pool import Lost
from tests.common.runtime.lending.test_pool import Pool, Worker, until

ROOT = Path(__file__).parents[4]
EXAMPLES = ROOT / "common/examples"


@pytest.fixture
def s2v(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(pools, "LOOK", 0.02)
    return again.load(ROOT / "spaces/s2v/app.py").service


def test_a_dead_workers_segment_is_made_again_and_no_other(s2v: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    workers = [Worker(f"worker {number + 1} of 2") for number in range(2)]
    monkeypatch.setattr(s2v, "on_gpu", partial(Pool(workers).run, s2v))
    request = s2v.mode.parse(
        {
            "prompt": "a red circle.",
            "image": {"path": str(EXAMPLES / "red-circle.png")},
            "audio": {"path": str(EXAMPLES / "speech.mp3")},
            "seed": 3,
        }
    )
    said: list[Any] = []

    def follow() -> None:
        said.extend(event for _, event in s2v.generate(request, s2v.plan(request)))

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    until(lambda: any(isinstance(event, Step) and event.segment == 2 for event in said))
    used, other = sorted(workers, key=lambda worker: "begin" not in worker.calls)
    dead = used.replica

    def gone(method: str) -> None:
        raise Lost(used.name)

    def alone(method: str) -> None:
        if method == "begin":  # workers of one process share a pipeline: what has died must have let go of it
            for stop in dead._stops.values():
                stop.set()
            with dead._turn:
                pass

    other.fault, used.fault = alone, gone
    thread.join(240)
    assert isinstance(said[-1], Done)
    assert [event.text for event in said if isinstance(event, Notice) and "begins again" in event.text] == [
        f"{used.name} ended in the middle; segment 2 begins again."
    ]
    steps = [(event.segment, event.index) for event in said if isinstance(event, Step)]
    assert [steps.count((1, index)) for index in range(1, 9)] == [1] * 8  # the first was made once
    assert sum(worker.calls.count("begin") for worker in workers) == len(said[-1].plan.segments) + 1
