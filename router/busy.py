"""Which of a mode's places has the least to do: by what each says of itself just now, and what it cannot know yet."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Sequence

from common.contract import Jobs
from router.asking import Status, ask_just_now
from router.federation import Place


class Sent:
    """The jobs that this Studio has on each place, and since when the place has been heard of each.

    One of which nothing is heard yet may not stand in the place's own count.
    """

    def __init__(self) -> None:
        self._heard: defaultdict[Place, dict[str, float]] = defaultdict(dict)

    def sent(self, place: Place, job: str) -> None:
        """A job goes to a place."""
        self._heard[place][job] = math.inf

    def heard(self, place: Place, job: str) -> None:
        """A place has said something of a job."""
        self._heard[place][job] = min(self._heard[place].get(job, math.inf), time.monotonic())

    def over(self, place: Place, job: str) -> None:
        """A job is no longer on a place."""
        self._heard[place].pop(job, None)

    def since(self, place: Place, moment: float = -math.inf) -> int:
        """How many of our jobs a place cannot have counted at that moment; all of them by default."""
        return sum(heard > moment for heard in self._heard[place].values())


async def least_busy(
    ready: Sequence[Status], sent: Sent, token_for: Callable[[Place], str | None]
) -> tuple[Status | None, list[Status]]:
    """The place that a job goes to, the first of equals; and how those are that turn out not to be ready.

    None where none is. A place that does not answer in a moment comes after those that do.
    """
    if len(ready) == 1:
        return ready[0], []
    asked = time.monotonic()
    answers = await asyncio.gather(*(ask_just_now(s, token_for(s.place)) for s in ready))
    best: tuple[tuple[bool, float], Status] | None = None
    for known, now in zip(ready, answers, strict=True):
        if now is not None and now.state != "ready":
            continue
        jobs = now.manifest.jobs if now and now.manifest else None
        more = sent.since(known.place, asked if jobs else -math.inf)
        rank = (now is None, _load(jobs or Jobs(), more))
        if best is None or rank < best[0]:
            best = rank, now or known
    return best and best[1], [now for now in answers if now is not None and now.state != "ready"]


def _load(jobs: Jobs, more: int) -> float:
    """How many jobs come before the next one, for each that a place does at once."""
    return (jobs.all + more) / jobs.at_once
