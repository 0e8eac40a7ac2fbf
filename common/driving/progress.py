"""How far preparing is, in frames: one counts once everything is done to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from common.annotate.frames import Check


class Counted:
    """Steps of chunks, in whichever order they are done; what is told never goes back."""

    def __init__(self, chunks: Sequence[range], steps: Sequence[str], check: Check) -> None:
        self.chunks, self.steps, self._check = chunks, steps, check
        self._finished: set[tuple[str, int]] = set()
        self._told = 0

    def finish(self, index: int, *steps: str) -> None:
        """These steps of a chunk are done, or were done at another time."""
        self._finished |= {(step, index) for step in steps if step in self.steps}
        self._tell(0.0)

    def within(self, step: str, index: int, before: int = 0, of: int = 1) -> Check:
        """For the work of a step, or where there are several for that which comes after `before` of them."""
        return partial(self._count, step, index, before, of)

    def look(self, done: int = 0, total: int = 0) -> None:
        """For work that does not count: it can be stopped all the same."""
        self._check()

    def _count(self, step: str, index: int, before: int, of: int, done: int = 0, total: int = 0) -> None:
        share = (before + (done / total if total else 0.0)) / of
        self._tell(0.0 if (step, index) in self._finished else share * len(self.chunks[index]))

    def _tell(self, more: float) -> None:
        units = sum(len(self.chunks[index]) for _, index in self._finished) + more
        self._told = max(self._told, int(units / len(self.steps)))
        self._check(self._told, sum(map(len, self.chunks)))
