"""Whether a mode lives, told by all of its jobs together.

One job may stand in a mode's line for minutes and hear nothing, while the mode's work shows in its other jobs.
Only when none of them has heard anything for a while is the mode asked, and by one of them for all: a hundred
questions at once are what a busy mode cannot answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

SILENCE_SECONDS = 5.0
"""A mode at work says something twice a second; one that is silent this long is asked whether it lives."""


class Pulse:
    """When a mode was last heard, and how often it has not answered since."""

    def __init__(self) -> None:
        self._heard = time.monotonic()
        self._unanswered = 0
        self._asking = threading.Lock()

    def beat(self) -> None:
        """It was heard."""
        self._heard, self._unanswered = time.monotonic(), 0

    def lost(self, answers: Callable[[], bool]) -> bool:
        """Whether it was silent twice over and did not answer either time; `answers` asks it."""
        if self._silent() and self._asking.acquire(blocking=False):
            try:
                if self._silent():  # still: another job may just have asked
                    if answers():
                        self.beat()
                    else:
                        self._heard, self._unanswered = time.monotonic(), self._unanswered + 1
            finally:
                self._asking.release()
        return self._unanswered >= 2

    def _silent(self) -> bool:
        return time.monotonic() - self._heard > SILENCE_SECONDS


_PULSES: dict[str, Pulse] = {}


def of(url: str) -> Pulse:
    """The one of the mode at a URL."""
    return _PULSES.setdefault(url, Pulse())
