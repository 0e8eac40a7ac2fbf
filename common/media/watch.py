"""Watches over the decoding of one job's media: what it has cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.budgets import BUDGETS
from common.errors import MediaError


class Watch:
    """Asked by every loop over packets or frames; `check` raises Cancelled once the job is stopped."""

    def __init__(self, check: Callable[[], None] = lambda: None) -> None:
        self.check = check
        self.left = float(BUDGETS.decode_seconds)

    @contextmanager
    def decoding(self, field: str) -> Iterator[None]:
        """Around a piece of decoding: a stop is seen before it, its time is charged to the job."""
        self.check()
        begun = time.monotonic()
        yield
        self.left -= time.monotonic() - begun
        if self.left < 0:
            rule = f"must be decoded within {BUDGETS.decode_seconds} s, with all media of the job"
            raise MediaError(field, rule, hint="try a shorter or smaller clip")
