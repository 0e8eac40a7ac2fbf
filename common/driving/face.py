"""Cuts the face out of a frame as Wan-Animate is given it: a box around the landmarks, 512x512."""

from __future__ import annotations

from common.annotate.frames import Frame
from common.annotate.keypoints import Person

Box = tuple[int, int, int, int]


def box(body: Person, size: tuple[int, int]) -> Box | None:
    """Left, top, right, bottom of the face in a frame of `size`; None where none is seen."""
    raise NotImplementedError


def cut(frame: Frame, box: Box) -> Frame:
    """What lies in a box, stretched."""
    raise NotImplementedError
