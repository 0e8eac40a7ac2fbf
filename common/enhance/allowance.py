"""How often a model is asked: one request at a time and a few a minute for each page, and so many a day for all."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.budgets import BUDGETS

MINUTE, DAY = 60.0, 86_400.0
AT_ONCE = 8
"""Of all pages. A page is what a browser says that it is, and so the limits that count are those of all."""
REMEMBERED = 1000


class Spent(Exception):
    """Not now; its text says why, as a sentence."""


class Allowance:
    """The requests of one app. For one event loop."""

    def __init__(
        self,
        a_minute: int = BUDGETS.enhance_minute,
        a_day: int = BUDGETS.enhance_day,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._minute, self._day, self._clock = a_minute, a_day, clock
        self._by_page: OrderedDict[str, deque[float]] = OrderedDict()
        self._all: deque[float] = deque()
        self._running: set[str] = set()

    @contextmanager
    def one(self, page: str) -> Iterator[None]:
        """One request of a page, counted whether it is answered or not; Spent where it may have none."""
        now = self._clock()
        own = self._by_page.setdefault(page, deque())
        self._by_page.move_to_end(page)
        while len(self._by_page) > REMEMBERED:
            self._by_page.popitem(last=False)
        for times, span in ((own, MINUTE), (self._all, DAY)):
            while times and times[0] <= now - span:
                times.popleft()
        if page in self._running or len(self._running) >= AT_ONCE:
            raise Spent("The model is still busy with an earlier prompt.")
        if len(own) >= self._minute:
            raise Spent(f"The model is asked at most {self._minute} times a minute.")
        if len(self._all) >= self._day:
            raise Spent("The model has been asked as often as it may be in a day.")
        own.append(now)
        self._all.append(now)
        self._running.add(page)
        try:
            yield
        finally:
            self._running.discard(page)
