"""What ZeroGPU says of a visitor's quota: only where it refuses a job, and only in a sentence.

The Hub has an answer to how much is left (`get_zero_gpu_quota`), for who shows the visitor's own token with the right
to read bills; an app is not given one.
"""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from common.errors import StudioError

TITLE = "ZeroGPU quota exceeded"
_SAID = re.compile(
    r"\((?P<asked>\d+)s requested vs\. (?P<left>\d+)s left\)\. "
    r"Try again in (?:(?P<days>\d+) days?, )?(?P<hours>\d+):(?P<minutes>\d\d):(?P<seconds>\d\d)"
)
"""As `spaces` writes it (zero/client.py)."""
MOST_SECONDS = 30 * 86_400
REMEMBERED = 1000


@dataclass(frozen=True)
class Left:
    """GPU seconds that were left when the Hub refused a job, and when there will be enough for it again."""

    seconds: int
    until: float

    def words(self, now: float) -> str:
        """For a line under Generate."""
        minutes = max(round((self.until - now) / 60), 1)
        when = f"{minutes} min" if minutes < 90 else f"{minutes / 60:.0f} h"
        return f"When it last refused, the Hub said that {self.seconds} s of your day are left, and more in {when}."


def said(error: StudioError, now: float) -> Left | None:
    """What an error says of the quota; None for any other error."""
    found = _SAID.search(error.text) if error.title == TITLE else None
    if found is None:
        return None
    part = {name: int(value or 0) for name, value in found.groupdict().items()}
    wait = ((part["days"] * 24 + part["hours"]) * 60 + part["minutes"]) * 60 + part["seconds"]
    return Left(part["left"], now + min(wait, MOST_SECONDS))


class Quotas:
    """What the Hub told each visitor of a page, until it no longer holds."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.clock = clock
        self._known: OrderedDict[str, Left] = OrderedDict()

    def hear(self, visitor: str | None, error: StudioError) -> None:
        """A job of this visitor was refused, or failed otherwise."""
        if visitor and (left := said(error, self.clock())):
            self._known[visitor] = left
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def of(self, visitor: str | None) -> Left | None:
        """What is known of a visitor now."""
        left = self._known.get(visitor or "")
        return left if left is not None and self.clock() < left.until else None
