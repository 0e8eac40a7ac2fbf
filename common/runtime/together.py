"""One job by several processes, one a card: which of them this is, and how they go from step to step together.

All of them sample, each its share of every step; the leader alone decodes, writes and tells. A collective hangs
where one of them is missing: so between the first step and the last nobody stops by himself. After each step the
leader says whether all go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Ranks:
    """A process among those that share a job: the `rank`-th of `size`, by torch's name of their `group`.

    Where their number is even, `half` is this process among the first of them, or among the others.
    """

    group: str
    rank: int
    size: int
    half: Ranks | None = None


class Together(Protocol):
    """The others of a job, as one of them sees them."""

    @property
    def leads(self) -> bool:
        """Whether this one decodes, writes and tells."""
        ...

    def begin(self, check: Callable[[], None]) -> Ranks:
        """Waits until all have loaded and read what they need, while `check` may raise; from now on all are in step.

        Cancelled, of a follower whose leader has given up; GpuError where one of them is gone.
        """
        ...

    def stops(self, asked: bool) -> bool:
        """After a step: whether all stop here, which the leader decides, who was `asked` to or not."""
        ...

    def end(self) -> None:
        """The last step is over, or all have stopped."""
        ...
