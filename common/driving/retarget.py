"""Gives a performer the bones of a character: each as much longer as the character's is, the movement as it was.

Both are compared where they stand: the performer in the first frame, the character in its picture, on a canvas
of the same size. Nothing is known of a bone that one of them does not show; it follows its twin on the other side,
else the shoulders, else it stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from common.annotate.keypoints import Floats, Person
from common.driving.skeleton import (
    LEFT_HAND,
    LEFT_TOE,
    LIMBS,
    NECK,
    NOSE,
    RIGHT_HAND,
    RIGHT_TOE,
    ROWS,
    THRESHOLD,
    joints,
)

MOST = 3.0
"""How far a bone's ratio may be from the whole body's: an arm that points at the camera has no length at all."""
FOOT = 0.5
"""Of a lower leg: longer feet are taken for a mistake of the finder."""

_HIPS, _ANKLES = (8, 11), (10, 13)
_LARGER = ((0, 1), (2, 4), (3, 5), (6, 9), (7, 10), (8, 11), (17, 18))
"""Bones of both sides; the side that is turned away looks shorter, so that the larger ratio holds for both."""
_MEAN = ((13, 15), (14, 16))
"""Nose to eye and eye to ear: when the head turns one side shrinks, and the other grows."""
_SHOULDERS = (0, 1)
_FEET = ((17, 11), (18, 8))
"""A foot, and the lower leg above it."""
_FACE = slice(23, 91)
_LIMB_TO = {child: (number, parent) for number, (parent, child) in enumerate(LIMBS)}
_TOES = {LEFT_TOE: (17, 18, 19), RIGHT_TOE: (20, 21, 22)}


@dataclass(frozen=True)
class Change:
    """What is done to every body: a length for each bone, a size for the way it goes, and a place to stand."""

    ratios: tuple[float, ...]
    whole: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)


def retargeted(bodies: Sequence[Person | None], first: Person, reference: Person) -> list[Person | None]:
    """The bodies in the character's proportions and where the character stands."""
    change = change_between(first, reference)
    return [None if body is None else changed(body, change) for body in bodies]


def change_between(first: Person, reference: Person) -> Change:
    """From the performer in the first frame to the character."""
    whole = 1.0
    for down_to in (_ANKLES, _HIPS):
        if _both(first, reference, NOSE, *down_to):
            whole = _tall(reference, down_to) / _tall(first, down_to)
            break
    lengths = (min(max(ratio, whole / MOST), whole * MOST) for ratio in ratios(first, reference))
    change = Change(tuple(lengths), whole)
    here, _ = joints(changed(first, change))
    there, _ = joints(reference)
    if _both(first, reference, *_HIPS, *_ANKLES):  # both stand, on their lower foot and under their hips
        x = there[list(_HIPS), 0].mean() - here[list(_HIPS), 0].mean()
        y = _ground(there, reference) - _ground(here, first)
    elif _both(first, reference, NECK):
        x, y = (there[NECK] - here[NECK]).tolist()
    else:
        return change
    return replace(change, shift=(float(x), float(y)))


def ratios(first: Person, reference: Person) -> tuple[float, ...]:
    """How much longer each bone of LIMBS is in the character."""
    ours, theirs = _lengths(first), _lengths(reference)
    found = [b / a if a and b else None for a, b in zip(ours, theirs, strict=True)]
    for pairs, among in ((_LARGER, max), (_MEAN, np.mean)):
        for pair in pairs:
            if known := [ratio for ratio in (found[i] for i in pair) if ratio is not None]:
                for bone in pair:
                    found[bone] = float(among(known))
    otherwise = found[_SHOULDERS[0]] or 1.0
    filled = [otherwise if ratio is None else ratio for ratio in found]
    return tuple(filled)


def changed(body: Person, change: Change) -> Person:
    """One body, from the neck outward: each joint where its bone now ends, in the direction that it had."""
    old, scores = joints(body)
    seen = scores >= THRESHOLD
    new = np.zeros_like(old)
    shift = np.array(change.shift, np.float32)
    new[NECK] = old[NECK] * change.whole + shift
    points = (body.points * change.whole + shift).astype(np.float32)  # of whatever hangs on nothing
    lengths = _foot_law(old, change.ratios)
    for parent, child in LIMBS:
        number, _ = _LIMB_TO[child]
        end = points[_rows(child)]
        if seen[parent]:
            end = new[parent] + (body.points[_rows(child)] - old[parent]) * lengths[number]
            points[_rows(child)] = end
        new[child] = end[:2].mean(0)
    hand = max(change.ratios[i] for i in _SHOULDERS)
    for wrist, part in ((7, LEFT_HAND), (4, RIGHT_HAND)):
        if seen[wrist]:
            points[part] = new[wrist] + (body.points[part] - old[wrist]) * hand
    if seen[NOSE]:
        points[_FACE] = new[NOSE] + (body.points[_FACE] - old[NOSE]) * change.ratios[_LIMB_TO[14][0]]
    return Person(points, body.scores)


def _rows(joint: int) -> list[int]:
    """The points that a joint is the middle of, and the heel with its toes."""
    return list(_TOES.get(joint, sorted({ROWS[0][joint], ROWS[1][joint]})))


def _foot_law(old: Floats, ratios: Sequence[float]) -> list[float]:
    lengths = list(ratios)
    for foot, leg in _FEET:
        most = FOOT * _length(old, leg) * ratios[leg]
        if _length(old, foot) * ratios[foot] > most > 0:
            lengths[foot] = most / _length(old, foot)
    return lengths


def _lengths(body: Person) -> list[float]:
    """Of each bone, in pixels; 0 where it is not seen."""
    points, scores = joints(body)
    seen: NDArray[np.bool_] = scores >= THRESHOLD
    return [_length(points, i) if seen[a] and seen[b] else 0.0 for i, (a, b) in enumerate(LIMBS)]


def _length(points: Floats, limb: int) -> float:
    a, b = LIMBS[limb]
    return float(np.hypot(*(points[a] - points[b])))


def _both(first: Person, reference: Person, *joint: int) -> bool:
    return all((joints(body)[1][list(joint)] >= THRESHOLD).all() for body in (first, reference))


def _tall(body: Person, down_to: tuple[int, int]) -> float:
    """From the nose to the middle of two joints, whichever way the body lies."""
    points, _ = joints(body)
    return max(float(np.hypot(*(points[list(down_to)].mean(0) - points[NOSE]))), 1.0)


def _ground(points: Floats, body: Person) -> float:
    """How low the lower foot stands: between its ankle and its toes, where they are seen."""
    toes = (LEFT_TOE, RIGHT_TOE)
    if (joints(body)[1][list(toes)] < THRESHOLD).any():
        return float(points[list(_ANKLES), 1].max())
    right, left = ((points[a, 1] + points[t, 1]) / 2 for a, t in ((10, RIGHT_TOE), (13, LEFT_TOE)))
    return float(max(right, left))
