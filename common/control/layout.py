"""Layouts: where a subject goes, drawn as a moving box or as the outline of a tracked mask."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from common.annotate.frames import WHITE, Frames, picture
from common.annotate.masks import outline, pixels

BOX_LINE = 2
TRACK_LINE = 3


def moving_box(start: Sequence[float], end: Sequence[float], count: int, width: int, height: int) -> Frames:
    """A black box on white that goes evenly from `start` to `end`; boxes are shares of the frame."""
    drawn: Frames = []
    for index in range(count):
        share = index / (count - 1) if count > 1 else 0.0
        box = [a + (b - a) * share for a, b in zip(start, end, strict=True)]
        left, top, right, bottom = pixels(box, width, height)
        canvas = np.full((height, width, 3), WHITE, np.uint8)
        drawn.append(
            picture(cv2.rectangle(canvas, (left, top), (right - 1, bottom - 1), (0, 0, 0), BOX_LINE))
        )
    return drawn


def tracked_outline(masks: Frames) -> Frames:
    """The contours of each frame's mask."""
    return [outline(mask, TRACK_LINE) for mask in masks]
