"""Grows a performer's outline into what Wan-Animate makes anew in `replace`."""

from __future__ import annotations

from common.annotate.frames import Frame


def grown(shape: Frame) -> Frame:
    """Black and white."""
    raise NotImplementedError
