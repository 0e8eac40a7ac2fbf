"""A mode's engine with one process or two on a CPU, with Wan-Nano: real pipelines, gloo between them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import launch
from common.contract import Event
from common.runtime.crew import leader

PROMPT = "a red circle moving right"


class Asked:
    """A mode with one card or two; `made` is the frames of a job."""

    def __init__(self, mode: str) -> None:
        self.service: Any = launch.load_space(mode).service

    def plan(self, cards: int, **values: Any) -> tuple[Any, Any]:
        self.service.backend = self.service.backend.model_copy(update={"cards": cards})
        request = self.service.mode.parse(
            {"prompt": PROMPT, "seed": 3, "num_frames": 5, "num_inference_steps": 2} | values
        )
        return request, self.service.plan(request)

    def run(self, cards: int, **values: Any) -> Iterator[tuple[str | None, Event]]:
        return self.service.generate(*self.plan(cards, **values))

    def made(self, cards: int, **values: Any) -> NDArray[np.uint8]:
        """What the model made, before it is encoded: frames [frames, height, width, 3]."""
        request, plan = self.plan(cards, **values)
        assert plan.placement.cards == cards, plan.placement.shared
        kept: list[NDArray[np.uint8]] = []
        own = self.service._sampled

        def sampled(ready: Any, job: Any) -> Any:
            kept.extend(np.asarray(frame) for frame in own(ready, job))
            return kept

        self.service._sampled = sampled
        try:
            list(self.service.generate(request, plan))
        finally:
            del self.service._sampled
        return np.stack(kept)


def followers() -> list[int]:
    """Processes of the crew that is there."""
    assert leader._crew is not None
    return [member.process.pid for member in leader._crew.members]


def gone(pid: int, seconds: float = 30) -> bool:
    """Whether a process has ended by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
