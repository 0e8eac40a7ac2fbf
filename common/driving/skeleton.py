"""Draws a body as Wan-Animate knows it: OpenPose's stick figure with toes and hands, and no face."""

from __future__ import annotations

import colorsys

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Frame, Picture, picture
from common.annotate.keypoints import Floats, Person

THRESHOLD = 0.5
"""A point of a lower score is not drawn."""
SIDE_A_PIXEL = 200
"""So many pixels of the shorter side make a stick one pixel wider."""
DIM = 0.6
"""Sticks are so much darker than the discs on their ends."""

# Rows of COCO-WholeBody; each joint lies in the middle of two: the neck of the shoulders, a toe of big and small toe.
ROWS = (
    (0, 6, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 17, 20),
    (0, 5, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3, 18, 21),
)
LEFT_HAND, RIGHT_HAND = slice(91, 112), slice(112, 133)

NOSE, NECK, LEFT_TOE, RIGHT_TOE = 0, 1, 18, 19
LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17), (13, 18), (10, 19),
)  # fmt: skip
"""Joints that a stick joins; the first is nearer to the neck."""
COLOURS = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
    (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255),
    (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85), (200, 200, 0), (100, 100, 0),
)  # fmt: skip
"""RGB, for the sticks and for the discs alike."""

_FINGERS = tuple(
    (0 if part == 0 else 4 * finger + part, 4 * finger + part + 1) for finger in range(5) for part in range(4)
)
_KNUCKLE = (0, 0, 255)


def drawn(body: Person, size: tuple[int, int], seen_at: tuple[int, int]) -> Frame:
    """The stick figure on black, of `size`; the body is in pixels of `seen_at`."""
    width, height = size
    canvas = np.zeros((height, width, 3), np.uint8)
    scale = np.array([width / seen_at[0], height / seen_at[1]], np.float32)
    wide = stick_width(width, height)
    points, scores = joints(body)
    _body(canvas, points * scale, _seen(points, scores), wide)
    for hand in (LEFT_HAND, RIGHT_HAND):
        points, scores = body.points[hand], body.scores[hand]
        _hand(canvas, points * scale, _seen(points, scores), max(wide // 2, 1))
    return picture(canvas)


def stick_width(width: int, height: int) -> int:
    """Half the width of a stick, and the radius of a joint, in pixels."""
    return max(min(width, height) // SIDE_A_PIXEL - 1, 1)


def joints(body: Person) -> tuple[Floats, Floats]:
    """OpenPose's 20 joints [20, 2] and their scores [20].

    Of a joint in the middle of two points nothing is known where one of them has a score of 0: a maker without
    a word for a point says so, and its place means nothing.
    """
    first, second = (list(rows) for rows in ROWS)
    points = (body.points[first] + body.points[second]) / 2
    scores = (body.scores[first] + body.scores[second]) / 2
    known = (body.scores[first] > 0) & (body.scores[second] > 0)
    return points.astype(np.float32), np.where(known, scores, 0).astype(np.float32)


def _seen(points: Floats, scores: Floats) -> NDArray[np.bool_]:
    return (scores >= THRESHOLD) & np.isfinite(points).all(axis=1)


def _body(canvas: Picture, points: Floats, seen: NDArray[np.bool_], wide: int) -> None:
    for (a, b), colour in zip(LIMBS, COLOURS, strict=False):  # one colour is left: of a toe's disc
        if not (seen[a] and seen[b]):
            continue
        x, y = (points[a] - points[b]).tolist()
        middle = ((points[a] + points[b]) / 2).tolist()
        half, angle = int(np.hypot(x, y) / 2), int(np.degrees(np.arctan2(y, x)))
        outline = cv2.ellipse2Poly((int(middle[0]), int(middle[1])), (half, wide), angle, 0, 360, 1)
        cv2.fillConvexPoly(canvas, np.array(outline), [int(c * DIM) for c in colour])
    for (x, y), visible, colour in zip(points.tolist(), seen, COLOURS, strict=True):
        if visible:
            cv2.circle(canvas, (int(x), int(y)), wide, colour, -1)


def _hand(canvas: Picture, points: Floats, seen: NDArray[np.bool_], wide: int) -> None:
    inside = [visible and min(point) >= 1 for point, visible in zip(points.tolist(), seen, strict=True)]
    at = [(int(x), int(y)) if ok else (0, 0) for (x, y), ok in zip(points.tolist(), inside, strict=True)]
    for hue, (a, b) in enumerate(_FINGERS):
        if inside[a] and inside[b]:
            red, green, blue = (c * 255 for c in colorsys.hsv_to_rgb(hue / len(_FINGERS), 1, 1))
            cv2.line(canvas, at[a], at[b], (red, green, blue), wide)
    for place, ok in zip(at, inside, strict=True):
        if ok:
            cv2.circle(canvas, place, wide, _KNUCKLE, -1)
