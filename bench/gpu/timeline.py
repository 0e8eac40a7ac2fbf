"""One clip by the Studio's engine, and when each of its stages and steps came."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.engine import T2V
from common.contract import Event, Plan, Preview, Stage, Step


@dataclass(frozen=True)
class Timeline:
    """Seconds since the start of a job, which ends with the mp4 on disk."""

    seconds: float
    stages: dict[str, float]
    """When each began."""
    steps: list[float]
    """When each was over."""

    @property
    def step_seconds(self) -> float:
        """What a step takes, but for the first."""
        return round((self.steps[-1] - self.steps[0]) / (len(self.steps) - 1), 3)

    @property
    def first_step_seconds(self) -> float:
        """From the beginning of denoising to the end of the first step."""
        return round(self.steps[0] - self.stages["denoise"], 3)


def clip(engine: T2V, request: Any, plan: Plan) -> Timeline:
    """Makes one."""
    seen: list[Event] = []
    began = time.monotonic()
    for _, event in engine.generate(request, plan):
        if event is not None:
            seen.append(event)
    return told(seen, round(time.monotonic() - began, 2))


def told(seen: list[Event], seconds: float) -> Timeline:
    """By the events of a job. A step's own comes when the card has got its work, its preview when it has done it."""
    stages: dict[str, float] = {}
    for event in seen:
        if isinstance(event, Stage):
            stages.setdefault(event.name, event.t)  # a stage that counts is told many times
    steps = [e.t for e in seen if isinstance(e, Step)]
    previews = [e.t for e in seen if isinstance(e, Preview)]
    return Timeline(seconds, stages, previews if len(previews) == len(steps) else steps)
