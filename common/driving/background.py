"""The scene without its performer: frame x (1 - mask)."""

from __future__ import annotations

from common.annotate.frames import BLACK, Frame
from common.annotate.masks import filled


def without(frame: Frame, mask: Frame) -> Frame:
    """A frame that is black where its mask is white."""
    return filled(frame, mask, BLACK)
