"""Which steps of a clip may cost less, and what they are worth then."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil


@dataclass(frozen=True)
class Shortcuts:
    """Steps of a preset that cost less, where a machine goes for speed and WAN_SPEED is not `exact`.

    After the first `warmup_steps` of each expert, every second step takes again what all blocks but the first added
    in the step before, where what the first one adds has changed by less than `residual_diff_threshold` (mean of the
    change over mean of the size). The last steps, from `guided` of them on, are computed, and none is guided. No
    threshold: all are computed.
    """

    residual_diff_threshold: float | None = 0.15
    warmup_steps: int = 4
    guided: float = 0.8

    @property
    def reuses(self) -> bool:
        """Whether steps take again what was added before."""
        return self.residual_diff_threshold is not None

    def computed_from(self, steps: int) -> int:
        """The first of the last steps, which are computed and not guided."""
        return ceil(steps * self.guided)

    def forwards(self, steps: int, guidance_scale: float, experts: int, layers: int) -> float:
        """Whole forwards that so many steps are worth, where all are reused that may be."""
        first = self.computed_from(steps)
        last = steps - first
        reused = max(0, first - experts * self.warmup_steps) // 2 if self.reuses else 0
        return (2 if guidance_scale > 1 else 1) * (first - reused + reused / layers) + last
