"""Outlines as a sketch, without a model."""

from __future__ import annotations

import cv2
import numpy as np

from common.annotate.frames import Check, Frame, Frames, array, picture, unchecked, watched

_BLUR = 5
_LOW, _HIGH = 0.66, 1.33


def scribble(frames: Frames, check: Check = unchecked) -> Frames:
    """Bright edges on black: an edge map that is not inverted, as VACE was trained on."""
    return [edges(f) for f in watched(frames, check)]


def edges(frame: Frame) -> Frame:
    """Canny edges whose thresholds follow the picture's own median, thickened to a stroke."""
    luma = cv2.GaussianBlur(cv2.cvtColor(array(frame), cv2.COLOR_RGB2GRAY), (_BLUR, _BLUR), 0)
    median = float(np.median(luma))
    # A flat or dark background has a median near 0; then any edge at all would be noise or everything.
    low, high = max(_LOW * median, 20.0), max(_HIGH * median, 60.0)
    lines = cv2.Canny(luma, min(low, 120.0), min(high, 240.0))
    return picture(cv2.dilate(lines, np.ones((2, 2), np.uint8)))
