"""A body from a head alone, by human proportions: what they do not tell is not seen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from common.annotate.keypoints import Floats, Person
from common.driving.following import Box

SURE, LIKELY = 0.9, 0.6
"""Scores of what was seen, and of what is where people have it. Both are drawn."""

_POINTS = 133
_FACE = slice(23, 91)
_NOSE, _LEFT_EYE, _RIGHT_EYE, _LEFT_EAR, _RIGHT_EAR = range(5)
_SHOULDERS, _HIPS = (5, 6), (11, 12)  # left, right of the person: on the right of the picture first

# In sides of the square that a face detector gives, from its middle; the right of the picture is positive. A head is
# 1.35 high, a grown person 7.5 heads: shoulders 1.4 heads under the crown and 1.5 apart, hips 3.55 and 0.8.
_HEAD = {
    _NOSE: (0.0, 0.13), _LEFT_EYE: (0.22, -0.13), _RIGHT_EYE: (-0.22, -0.13),
    _LEFT_EAR: (0.5, -0.03), _RIGHT_EAR: (-0.5, -0.03),
}  # fmt: skip
CROWN, CHIN = -0.75, 0.6
HEAD = CHIN - CROWN
HEADS = 7.5
_SHOULDER = (1.0, CROWN + 1.4 * HEAD)
_HIP = (0.54, CROWN + 3.55 * HEAD)
_WIDE = 2.2
"""Half the room of a body with hanging arms."""


class Head(NamedTuple):
    """A head by the middle and the side of the square around its face; `face` says that it looks into the camera."""

    x: float
    y: float
    side: float
    face: bool = True


class Region(NamedTuple):
    """Where a body with this head would be: all of it, and in it the head and the trunk as polygons."""

    box: Box
    head: Floats
    trunk: Floats


def bust(head: Head) -> Box:
    """Head and shoulders: what tells one person from another."""
    x, y, side = head[:3]
    return np.array([x - 1.2 * side, y + CROWN * side, x + 1.2 * side, y + 1.6 * side], np.float32)


def body(head: Head, *, upright: bool = False) -> Person:
    """Head and shoulders; with `upright` the hips too. Limbs and hands are not known."""
    points = np.zeros((_POINTS, 2), np.float32)
    scores = np.zeros(_POINTS, np.float32)

    def put(row: int, at: tuple[float, float], score: float) -> None:
        points[row] = head.x + at[0] * head.side, head.y + at[1] * head.side
        scores[row] = score

    if head.face:
        for row, at in _HEAD.items():
            put(row, at, SURE)
        for row, at in zip(range(_FACE.start, _FACE.stop), _landmarks(), strict=True):
            put(row, at, LIKELY)
    pairs = [(_SHOULDERS, _SHOULDER)] + ([(_HIPS, _HIP)] if upright else [])
    for (left, right), (x, y) in pairs:
        put(left, (x, y), LIKELY)
        put(right, (-x, y), LIKELY)
    return Person(points, scores)


def head_of(person: Person | None) -> Head | None:
    """The head that `body` made a body of."""
    if person is None or person.scores[_SHOULDERS[0]] == 0:
        return None
    left, right = person.points[list(_SHOULDERS)]
    side = float(left[0] - right[0]) / (2 * _SHOULDER[0])
    x, y = (left + right) / 2
    return Head(float(x), float(y) - _SHOULDER[1] * side, side, bool(person.scores[_NOSE]))


def region(head: Head) -> Region:
    """Where to look for the outline."""

    def placed(*corners: tuple[float, float]) -> Floats:
        at = np.array([head.x, head.y]) + np.array(corners) * head.side
        return at.astype(np.float32)

    feet = CROWN + HEADS * HEAD
    left, right = placed((-_WIDE, CROWN - 0.1), (_WIDE, feet))
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    middle = (CROWN + CHIN) / 2
    skull = [(0.65 * float(np.cos(a)), middle + HEAD / 2 * float(np.sin(a))) for a in angles]
    (sx, sy), (hx, hy) = _SHOULDER, _HIP
    half = [(0.3, CHIN - 0.1), (1.2 * sx, sy), (1.6 * hx, hy)]  # the neck, an upper arm, a thigh
    trunk = half + [(-x, y) for x, y in reversed(half)]
    return Region(np.concatenate([left, right]).astype(np.float32), placed(*skull), placed(*trunk))


def _landmarks() -> list[tuple[float, float]]:
    """The 68 points of a face that looks straight ahead, in the order of iBUG: for the box around it."""

    def arc(count: int, x: float, y: float, wide: float, high: float, start: float, end: float) -> list:
        turns = np.radians(np.linspace(start, end, count))
        return [(x + wide * float(np.cos(t)), y + high * float(np.sin(t))) for t in turns]

    jaw = arc(17, 0, -0.13, 0.47, 0.73, 180, 0)
    brows = arc(5, -0.24, -0.2, 0.15, 0.08, 180, 360) + arc(5, 0.24, -0.2, 0.15, 0.08, 180, 360)
    nose = [(0.0, y) for y in (-0.13, -0.05, 0.04, 0.13)] + arc(5, 0, 0.17, 0.09, 0.03, 180, 0)
    eyes = [p for x in (-0.22, 0.22) for p in arc(7, x, -0.13, 0.09, 0.04, 180, 540)[:6]]
    mouth = arc(13, 0, 0.31, 0.2, 0.08, 180, 540)[:12] + arc(9, 0, 0.31, 0.15, 0.03, 180, 540)[:8]
    return [*jaw, *brows, *nose, *eyes, *mouth]
