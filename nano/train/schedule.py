"""How long a training run goes on and how fast it learns: by the clock or by a number of steps."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field


@dataclass
class Budget:
    """A run of so many seconds, or of exactly `steps` steps where repeatability matters."""

    seconds: float
    steps: int | None = None
    started: float = field(default_factory=time.monotonic)
    step: int = 0

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    @property
    def fraction(self) -> float:
        done = self.step / self.steps if self.steps else self.elapsed / self.seconds
        return min(1.0, done)

    def __iter__(self):
        while self.fraction < 1.0:
            yield self.fraction
            self.step += 1


def learning_rate(peak: float, step: int, fraction: float, warmup: int = 200) -> float:
    """Linear warm-up, then half a cosine down to 2% of the peak."""
    return peak * min(1.0, (step + 1) / warmup) * (0.49 * (1 + math.cos(math.pi * fraction)) + 0.02)
