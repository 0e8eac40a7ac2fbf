"""Watches over the preparation of one job: whether it was stopped, and what decoding has cost it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from common.budgets import BUDGETS
from common.errors import Cancelled, MediaError


class Watch:
    """Asked by every loop over packets or frames."""

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop = stop or threading.Event()
        self.left = float(BUDGETS.decode_seconds)

    def check(self) -> None:
        """Raises Cancelled once the job is stopped."""
        if self.stop.is_set():
            raise Cancelled()

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
