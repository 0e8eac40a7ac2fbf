"""Grows a performer's outline into what Wan-Animate makes anew in `replace`.

Upstream dilates the outline by 7x7, three times over, and then fills every block of its bounding box in which
there is any white; its recommended number of blocks is 1 x 1, so that the box is white all over. The model has
learned from such masks: an outline would tell it the shape of the performer, which is not the character's.
"""

from __future__ import annotations

from common.annotate import masks
from common.annotate.frames import Frame

KERNEL, TIMES = 7, 3
REACH = TIMES * (KERNEL // 2)
"""Pixels on each side: a square dilated by a square is a larger square, and so is its box."""


def grown(shape: Frame) -> Frame:
    """The white box around a shape; black where there is none."""
    return masks.grown(shape, "bbox", REACH)
