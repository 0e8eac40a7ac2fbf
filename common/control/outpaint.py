"""Outpainting: a canvas that grows around the picture, or a picture whose borders are given up."""

from __future__ import annotations

from dataclasses import dataclass

from common.annotate.frames import (
    BLACK,
    GRAY,
    WHITE,
    Control,
    Frame,
    Frames,
    Placement,
    paste,
    solid,
)

DEFAULT_SHARE = 0.25


@dataclass(frozen=True)
class Growth:
    """How much is added on each side, as shares of the picture's own width and height."""

    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0


def growth(left: float | None, right: float | None, top: float | None, bottom: float | None) -> Growth:
    """The sides as given; when none is, a quarter to the left and to the right."""
    if left is right is top is bottom is None:
        return Growth(DEFAULT_SHARE, DEFAULT_SHARE)
    return Growth(left or 0.0, right or 0.0, top or 0.0, bottom or 0.0)


def placed(source: tuple[int, int], by: Growth, width: int, height: int) -> Placement:
    """Where a picture of size `source` lies when its grown canvas is fitted into `width` x `height`."""
    canvas_w = source[0] * (1 + by.left + by.right)
    canvas_h = source[1] * (1 + by.top + by.bottom)
    scale = min(width / canvas_w, height / canvas_h)
    w, h = max(round(source[0] * scale), 1), max(round(source[1] * scale), 1)
    left = (width - canvas_w * scale) / 2 + source[0] * by.left * scale
    top = (height - canvas_h * scale) / 2 + source[1] * by.top * scale
    return Placement(min(round(left), width - w), min(round(top), height - h), w, h)


def outward(frames: Frames, by: Growth, width: int, height: int) -> Control:
    """The whole source, smaller, on gray; everything around it is generated."""
    at = placed(frames[0].size, by, width, height)
    mask = paste(solid(BLACK, 1, 1), at, width, height, WHITE)
    return Control([paste(f, at, width, height, GRAY) for f in frames], [mask.copy() for _ in frames])


def inward(frames: Frames, by: Growth) -> Control:
    """Frames of the final size whose borders are gray and generated; shares are of the frame."""
    width, height = frames[0].size
    left, top = round(width * by.left), round(height * by.top)
    right, bottom = width - round(width * by.right), height - round(height * by.bottom)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    keep = (left, top, right, bottom)

    def bordered(frame: Frame, value: int) -> Frame:
        canvas = solid(value, width, height)
        canvas.paste(frame.crop(keep), keep[:2])
        return canvas

    mask = bordered(solid(BLACK, width, height), WHITE)
    return Control([bordered(f, GRAY) for f in frames], [mask.copy() for _ in frames])
