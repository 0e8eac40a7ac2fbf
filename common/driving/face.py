"""Cuts the face out of a frame as Wan-Animate is given it: a box around the landmarks, stretched to 512x512."""

from __future__ import annotations

import numpy as np
from PIL import Image

from common.annotate.frames import Frame
from common.annotate.keypoints import Person

Box = tuple[int, int, int, int]

SIDE = 512
LANDMARKS = slice(23, 91)
AREA = 1.3
"""The box is so much larger than the landmarks' own, in their shape."""
UPWARD = 0.75
"""Of what it grows in height: the landmarks end at the brows."""
SEEN = 0.3
"""Landmarks whose scores are lower on average are guesses: the face is turned away, or not there."""


def box(body: Person, size: tuple[int, int]) -> Box | None:
    """Left, top, right, bottom of the face in a frame of `size`; None where none is seen.

    It holds every landmark, also those of a low score, as upstream's: a cheek in profile is a part of the face.
    """
    points, scores = body.points[LANDMARKS], body.scores[LANDMARKS]
    known = (scores > 0) & np.isfinite(points).all(axis=1)
    if not known.any() or scores[known].mean() < SEEN:
        return None
    (left, top), (right, bottom) = points[known].min(0).tolist(), points[known].max(0).tolist()
    wider, higher = ((AREA**0.5 - 1) * side for side in (right - left, bottom - top))
    grown = (
        int(max(left - wider / 2, 0)),
        int(max(top - higher * UPWARD, 0)),
        int(min(right + wider / 2, size[0])),
        int(min(bottom + higher * (1 - UPWARD), size[1])),
    )
    return grown if grown[0] < grown[2] and grown[1] < grown[3] else None


def cut(frame: Frame, box: Box) -> Frame:
    """What lies in a box, stretched."""
    return frame.convert("RGB").crop(box).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
