"""Draws a body as Wan-Animate knows it: OpenPose's sticks with toes and hands, no face."""

from __future__ import annotations

from common.annotate.frames import Frame
from common.annotate.keypoints import Person


def drawn(body: Person, size: tuple[int, int], seen_at: tuple[int, int]) -> Frame:
    """The stick figure on black, of `size`; the body is in pixels of `seen_at`."""
    raise NotImplementedError
