"""How long the card works, which goes on after a call has returned."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import torch

Made = TypeVar("Made")


def timed(work: Callable[[], Made]) -> tuple[float, Made]:
    """Seconds from an idle card to an idle card, and what was made."""
    _wait()
    began = time.monotonic()
    made = work()
    _wait()
    return time.monotonic() - began, made


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
