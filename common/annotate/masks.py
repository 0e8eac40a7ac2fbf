"""Masks: read, grown and filled. White is generated, black is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from common.annotate.frames import GRAY, WHITE, Frame, Frames, array, picture, solid

Shape = Literal["original", "hull", "bbox"]
Bool = NDArray[np.bool_]


def hard(mask: Frame) -> Frame:
    """Only black and white, split at one half: the model would see any gray in its mask channels."""
    return picture(as_bool(mask) * WHITE)


def as_bool(mask: Frame) -> Bool:
    """True where a mask is white."""
    return np.asarray(mask.convert("L")) >= 128


def is_soft(mask: Frame) -> bool:
    """Whether a mask has gray away from its edges: a gradient, and not what smoothing or compression leaves."""
    gray = np.asarray(mask.convert("L"))
    white = (gray >= 128).astype(np.uint8)
    border = cv2.morphologyEx(white, cv2.MORPH_GRADIENT, np.ones((9, 9), np.uint8)) > 0
    return float(((gray > 48) & (gray < 208) & ~border).mean()) > 0.01


def resized(mask: Frame, width: int, height: int) -> Frame:
    """A mask at another size, still hard. The aspect must be that of the frame that it belongs to."""
    return hard(mask if mask.size == (width, height) else mask.resize((width, height), Image.Resampling.BOX))


def from_box(box: Sequence[float], width: int, height: int) -> Frame:
    """White inside left, top, right, bottom given as shares of the frame."""
    left, top, right, bottom = pixels(box, width, height)
    values = np.zeros((height, width), np.uint8)
    values[top:bottom, left:right] = WHITE
    return picture(values)


def pixels(box: Sequence[float], width: int, height: int) -> tuple[int, int, int, int]:
    """A box of shares in pixels, at least one pixel wide and high."""
    left, right = round(box[0] * width), round(box[2] * width)
    top, bottom = round(box[1] * height), round(box[3] * height)
    left, top = min(left, width - 1), min(top, height - 1)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def bounds(mask: Frame) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the white; None when there is none."""
    rows, columns = np.nonzero(as_bool(mask))
    if not len(rows):
        return None
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def grown(mask: Frame, shape: Shape = "original", by: int = 0) -> Frame:
    """A mask as it is, its convex hull or its bounding box, then `by` pixels larger all round."""
    white = as_bool(mask).astype(np.uint8)
    if not white.any():
        return hard(mask)
    if shape == "bbox":
        left, top, right, bottom = bounds(mask) or (0, 0, 0, 0)
        height, width = white.shape
        values = np.zeros_like(white)
        values[max(top - by, 0) : min(bottom + by, height), max(left - by, 0) : min(right + by, width)] = 1
        return picture(values * WHITE)
    if shape == "hull":
        points = np.argwhere(white)[:, ::-1].astype(np.int32)
        white = cv2.fillConvexPoly(np.zeros_like(white), cv2.convexHull(points), 1)
    if by:
        white = cv2.dilate(white, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1)))
    return picture(white * WHITE)


def filled(frame: Frame, mask: Frame, value: int = GRAY) -> Frame:
    """A frame with gray where its mask is white."""
    return Image.composite(solid(value, *frame.size), frame, hard(mask).convert("L"))


def subject(image: Frame, mask: Frame, fill: int = WHITE) -> Frame:
    """The white of a mask cut out of its picture, on `fill`, cropped to its bounds."""
    box = bounds(mask)
    if box is None:
        return image
    kept = Image.composite(image, solid(fill, *image.size), hard(mask).convert("L"))
    return kept.crop(box)


def outline(mask: Frame, width: int = 3) -> Frame:
    """The mask's contours as black lines on white."""
    canvas = np.full((*as_bool(mask).shape, 3), WHITE, np.uint8)
    contours, _ = cv2.findContours(as_bool(mask).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return picture(cv2.drawContours(canvas, contours, -1, (0, 0, 0), width))


def same_everywhere(mask: Frame, count: int) -> Frames:
    """One mask for every frame."""
    return [mask.copy() for _ in range(count)]


def is_empty(masks: Sequence[Frame]) -> bool:
    """Whether no mask has any white."""
    return not any(array(m).max() >= 128 for m in masks)


def is_full(masks: Sequence[Frame]) -> bool:
    """Whether every mask is white all over."""
    return all(bool(as_bool(m).all()) for m in masks)


def either(first: Frame, second: Frame) -> Frame:
    """White where one of them is."""
    return picture((as_bool(first) | as_bool(second)) * WHITE)
