"""Draws bodies and faces as VACE knows them: OpenPose's stick figure with red and blue swapped, no hands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from common.annotate.frames import BLACK, Check, Frame, Frames, picture, solid, unchecked, watched
from common.annotate.keypoints import Floats, Person, people

DRAWN_SIDE = 1024
STICK = 4
FACE_DOT = 3
THRESHOLD = 0.3
_FACE = slice(23, 91)

# Rows of COCO-WholeBody for OpenPose's 18 joints; the neck (1) is the middle of the shoulders.
_SHOULDERS = (5, 6)
_JOINTS = (0, -1, 6, 8, 10, 5, 7, 9, 12, 14, 16, 11, 13, 15, 2, 1, 4, 3)
_LIMBS = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10),
    (1, 11), (11, 12), (12, 13), (1, 0), (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
_PALETTE = (
    (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0),
    (0, 255, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255),
    (0, 0, 255), (85, 0, 255), (170, 0, 255), (255, 0, 255), (255, 0, 170), (255, 0, 85),
)  # fmt: skip
COLOURS = tuple((b, g, r) for r, g, b in _PALETTE)


def pose(frames: Frames, folder: Path, device: str, check: Check = unchecked, *, face: bool = True) -> Frames:
    """Stick figures on black, one picture a frame."""
    return [drawn(people(f, folder, device), f.size, face=face) for f in watched(frames, check)]


def drawn(persons: Sequence[Person], size: tuple[int, int], *, face: bool) -> Frame:
    """Everybody on black, drawn at a short side of 1024 and scaled to `size`."""
    scale = DRAWN_SIDE / min(size)
    canvas = np.zeros((round(size[1] * scale), round(size[0] * scale), 3), np.uint8)
    for person in persons:
        points, seen = body_joints(person)
        _sticks(canvas, points * scale, seen)
        if face:
            _dots(canvas, person.points[_FACE] * scale, person.scores[_FACE] > THRESHOLD)
    if not canvas.any():
        return solid(BLACK, *size)
    return picture(cv2.resize(canvas, size, interpolation=cv2.INTER_AREA))


def body_joints(person: Person) -> tuple[Floats, np.ndarray]:
    """OpenPose's 18 joints [18, 2] and which of them are seen."""
    a, b = _SHOULDERS
    neck = (person.points[a] + person.points[b]) / 2
    neck_score = min(person.scores[a], person.scores[b])
    rows = [i for i in _JOINTS if i >= 0]
    points = np.insert(person.points[rows], 1, neck, axis=0)
    scores = np.insert(person.scores[rows], 1, neck_score)
    return points, scores > THRESHOLD


def _sticks(canvas: np.ndarray, points: Floats, seen: np.ndarray) -> None:
    for (a, b), colour in zip(_LIMBS, COLOURS, strict=False):
        if not (seen[a] and seen[b]):
            continue
        (x0, y0), (x1, y1) = points[a], points[b]
        middle = (round(float(x0 + x1) / 2), round(float(y0 + y1) / 2))
        length = int(np.hypot(x0 - x1, y0 - y1) / 2)
        angle = round(np.degrees(np.arctan2(y0 - y1, x0 - x1)))
        outline = cv2.ellipse2Poly(middle, (length, STICK), angle, 0, 360, 1)
        cv2.fillConvexPoly(canvas, np.array(outline), tuple(int(c * 0.6) for c in colour))
    for (x, y), visible, colour in zip(points, seen, COLOURS, strict=True):
        if visible:
            cv2.circle(canvas, (round(float(x)), round(float(y))), STICK, colour, -1)


def _dots(canvas: np.ndarray, points: Floats, seen: np.ndarray) -> None:
    for (x, y), visible in zip(points, seen, strict=True):
        if visible:
            cv2.circle(canvas, (round(float(x)), round(float(y))), FACE_DOT, (255, 255, 255), -1)
