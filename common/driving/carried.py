"""Follows a head through frames of which only some were searched: by optical flow, put right where it is found."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.keypoints import Floats
from common.driving.detectors import Gray
from common.driving.following import Following, overlaps
from common.driving.proportions import Head, bust

REACH = 15
"""Frames for which the flow is believed without a detection; longer, and it follows something else."""
TRUST = 0.5
"""How much of a detection's difference from the flow is believed: its boxes jitter by some pixels."""

_CORNERS = 60
_FEWEST = 6
_BACK = 1.0  # pixels by which a point may miss itself when it is followed there and back
_LOST_SEARCHES = 5
_SIGMA = 2.0


def carried(
    grays: Sequence[Gray], found: Mapping[int, Sequence[Head]], after: Head | None = None
) -> list[Head | None]:
    """The performer's head in each frame, from the heads found in some of them: the largest, or who was there before.

    None where it is further than REACH from a frame in which it was found.
    """
    found = confirmed(found)
    following = Following(None if after is None else bust(after), patience=_LOST_SEARCHES)
    track: list[Head | None] = [None] * len(grays)
    anchors: list[int] = []
    now: Head | None = None
    for i in range(len(grays)):
        if now is not None:
            lately = not anchors or i - anchors[-1] <= REACH
            now = moved(grays[i - 1], grays[i], now) if lately else None
        track[i] = now
        if i not in found:
            continue
        if now is not None:
            following.last = bust(now)
        heads = found[i]
        index = following.choose(np.array([bust(h) for h in heads], np.float32).reshape(-1, 4))
        if index is None:
            continue
        seen = heads[index]
        if now is not None and anchors and overlaps(bust(seen)[None], bust(now))[0] > 0.3:
            seen = _between(now, seen, TRUST)
            _put_right(track, anchors[-1], i, seen)
        now = track[i] = seen
        anchors.append(i)
    if anchors:
        _backwards(grays, track, anchors[0])
    return _smooth(_bridged(track, anchors))


def confirmed(found: Mapping[int, Sequence[Head]]) -> dict[int, list[Head]]:
    """Without what is seen in one search and in none of the two before or after it: that is no face."""
    numbers = sorted(found)
    if len(numbers) < 3:
        return {n: list(found[n]) for n in numbers}
    kept: dict[int, list[Head]] = {}
    for place, number in enumerate(numbers):
        near = [n for n in numbers[max(place - 2, 0) : place + 3] if n != number]
        others = np.array([bust(h) for n in near for h in found[n]], np.float32).reshape(-1, 4)
        kept[number] = [h for h in found[number] if len(others) and overlaps(others, bust(h)).max() > 0.15]
    return kept


def moved(before: Gray, now: Gray, head: Head) -> Head | None:
    """Where a head of one frame is in the next; None where too little of it is found again."""
    height, width = before.shape
    left, top, right, bottom = np.round(_patch(head)).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 8 or bottom - top < 8:
        return None
    corners = cv2.goodFeaturesToTrack(before[top:bottom, left:right], _CORNERS, 0.01, 3)
    if corners is None or len(corners) < _FEWEST:
        return None
    points = (corners + np.array([left, top], np.float32)).astype(np.float32)
    there, seen, _ = cv2.calcOpticalFlowPyrLK(before, now, points, points.copy())
    back, seen_back, _ = cv2.calcOpticalFlowPyrLK(now, before, there, there.copy())
    missed = np.abs(back - points).reshape(-1, 2).max(1)
    good = (seen.ravel() == 1) & (seen_back.ravel() == 1) & (missed < _BACK)
    if good.sum() < max(_FEWEST, len(points) / 3):
        return None
    old: NDArray[Any] = points.reshape(-1, 2)[good]
    new: NDArray[Any] = there.reshape(-1, 2)[good]
    shift = np.median(new - old, axis=0)
    growth = _growth(old, new)
    # Growth is about the points' own middle, the head's middle goes along.
    pull = (np.array([head.x, head.y]) - np.median(old, axis=0)) * (growth - 1)
    return Head(
        head.x + float(shift[0] + pull[0]), head.y + float(shift[1] + pull[1]), head.side * growth, head.face
    )


def _patch(head: Head) -> Floats:
    if head.face:
        half = 0.6 * head.side
        return np.array([head.x - half, head.y - half, head.x + half, head.y + half], np.float32)
    return bust(head)


def _growth(old: NDArray[Any], new: NDArray[Any]) -> float:
    """By how much distances between points grew, at the median."""
    apart_old = np.linalg.norm(old - np.roll(old, len(old) // 2, axis=0), axis=1)
    apart_new = np.linalg.norm(new - np.roll(new, len(new) // 2, axis=0), axis=1)
    far = apart_old > 4
    if far.sum() < _FEWEST:
        return 1.0
    return float(np.clip(np.median(apart_new[far] / apart_old[far]), 0.9, 1.1))


def _between(a: Head, b: Head, share: float) -> Head:
    x, y, side = (float(p + (q - p) * share) for p, q in zip(a[:3], b[:3], strict=True))
    return Head(x, y, side, b.face)


def _put_right(track: list[Head | None], start: int, end: int, seen: Head) -> None:
    """Spreads what the flow was wrong by at the end evenly over the way there."""
    flow = track[end]
    if flow is None:
        return
    for i in range(start + 1, end):
        head, share = track[i], (i - start) / (end - start)
        if head is not None:
            track[i] = Head(
                head.x + (seen.x - flow.x) * share, head.y + (seen.y - flow.y) * share,
                head.side * (seen.side / flow.side) ** share, head.face,
            )  # fmt: skip


def _backwards(grays: Sequence[Gray], track: list[Head | None], first: int) -> None:
    head = track[first]
    for i in range(first - 1, max(first - REACH, 0) - 1, -1):
        head = moved(grays[i + 1], grays[i], head) if head is not None else None
        track[i] = head


def _bridged(track: Sequence[Head | None], anchors: Sequence[int]) -> list[Head | None]:
    """Nothing where no detection is near; a straight line over a short hole of the flow."""
    made = [h if any(abs(i - a) <= REACH for a in anchors) else None for i, h in enumerate(track)]
    known = [i for i, h in enumerate(made) if h is not None]
    for a, b in itertools.pairwise(known):
        if 1 < b - a <= REACH:
            start, end = made[a], made[b]
            assert start is not None and end is not None
            for i in range(a + 1, b):
                made[i] = _between(start, end, (i - a) / (b - a))
    return made


def _smooth(track: Sequence[Head | None]) -> list[Head | None]:
    """Each run of heads without what is left of the jitter: sizes most, as nobody's head grows in a frame."""
    made = list(track)
    numbered = itertools.groupby(enumerate(track), lambda item: item[1] is not None)
    for run in ([(i, head) for i, head in group if head is not None] for _, group in numbered):
        columns = [[head[i] for _, head in run] for i in range(3)]
        sigmas = (_SIGMA / 2, _SIGMA / 2, 2 * _SIGMA)
        x, y, side = (_blurred(column, sigma) for column, sigma in zip(columns, sigmas, strict=True))
        for place, (i, head) in enumerate(run):
            made[i] = Head(x[place], y[place], side[place], head.face)
    return made


def _blurred(values: Sequence[float], sigma: float) -> list[float]:
    """A Gaussian that goes on at both ends as the line goes there."""
    reach = min(int(3 * sigma), len(values) - 1)
    if reach < 1:
        return list(values)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    padded = np.pad(np.array(values), reach, mode="reflect", reflect_type="odd")
    return np.convolve(padded, weights / weights.sum(), mode="valid").tolist()
