"""Fits one of nano's outlines to a mask, also where the picture's edge cuts it."""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from nano.outlines import AREAS, OUTLINES, TURNS

Bool = NDArray[np.bool_]
Floats = NDArray[np.floating]

_TRIES = 4  # angles tried within one turn
_STEPS = 12
_EDGE = 2.2  # a pixel: as steep as a mask is after the blur
_NUDGES = 0.3, 0.3, 0.02, 0.04  # for the slopes: pixels, pixels, share of the radius, radians


class Fit(NamedTuple):
    """An outline's place in pixels, and how far what it covers is from the mask: a share of the shape."""

    x: float
    y: float
    radius: float
    angle: float
    error: float


def cover(shape: int, at: Floats, size: tuple[int, int]) -> Floats:
    """How much of each pixel a shape fills; `at` has its radius as a logarithm."""
    x, y, size_of, angle = (float(value) for value in at)
    dx = np.arange(size[1], dtype=np.float32)[None, :] - x
    dy = np.arange(size[0], dtype=np.float32)[:, None] - y
    c, s = math.cos(angle), math.sin(angle)
    away = OUTLINES[shape](np, dx * c + dy * s, dy * c - dx * s, math.exp(size_of))
    return 1 / (1 + np.exp(np.clip(_EDGE * away, -30, 30)))


def began(shape: int, mask: Bool) -> Fit:
    """Where an upright shape of the mask's middle and area is."""
    rows, columns = np.nonzero(mask)
    radius = math.sqrt(len(rows) / AREAS[shape])
    return Fit(float(columns.mean()), float(rows.mean()), radius, 0.0, math.inf)


def _window(mask: Bool) -> tuple[int, int, Bool]:
    """Left, top and what lies around the mask: the rest of the picture says nothing."""
    rows, columns = np.nonzero(mask)
    room = 4
    left, top = max(int(columns.min()) - room, 0), max(int(rows.min()) - room, 0)
    return left, top, mask[top : int(rows.max()) + room + 1, left : int(columns.max()) + room + 1]


def fitted(shape: int, mask: Bool, start: Fit) -> Fit:
    """The shape's place by least squares, from a start nearby."""
    left, top, window = _window(mask)
    seen = cv2.GaussianBlur(window.astype(np.float32), (3, 3), 0.7)
    mass = max(float(seen.sum()), 1.0)
    now = np.array([start.x - left, start.y - top, math.log(max(start.radius, 1.0)), start.angle])
    free = 4 if TURNS[shape] else 3
    miss = cover(shape, now, seen.shape) - seen
    best, damping = float((miss**2).sum()), 0.01
    for _ in range(_STEPS):
        slopes = []
        for which in range(free):
            moved = now.copy()
            moved[which] += _NUDGES[which]
            slopes.append((cover(shape, moved, seen.shape) - seen - miss).ravel() / _NUDGES[which])
        jacobian = np.stack(slopes, 1)
        square = jacobian.T @ jacobian
        square[np.diag_indices(free)] *= 1 + damping
        step = np.linalg.lstsq(square, -jacobian.T @ miss.ravel(), rcond=None)[0]
        moved = now.copy()
        moved[:free] += np.clip(step, -4, 4) * [1, 1, 0.1, 0.1][:free]
        trial = cover(shape, moved, seen.shape) - seen
        score = float((trial**2).sum())
        if score >= best:
            damping *= 10
            if damping > 100:
                break
            continue
        gained, now, miss, best, damping = best - score, moved, trial, score, damping / 3
        if gained < 0.002 * score:
            break
    return Fit(float(now[0]) + left, float(now[1]) + top, math.exp(now[2]), float(now[3]), best / mass)


def best_fit(shape: int, mask: Bool) -> Fit:
    """The shape's place without a start: from several angles of one turn, the one nearest to upright."""
    turn, at = TURNS[shape], began(shape, mask)
    found = [
        fitted(shape, mask, at._replace(angle=turn * (k / _TRIES))) for k in range(_TRIES if turn else 1)
    ]
    best = min(found, key=lambda fit: fit.error)
    return best._replace(angle=math.remainder(best.angle, turn)) if turn else best


def overlap(shape: int, mask: Bool, fit: Fit) -> float:
    """What mask and fitted shape have in common, as a share of both together."""
    ours = cover(shape, np.array([fit.x, fit.y, math.log(fit.radius), fit.angle]), mask.shape) > 0.5
    return float((ours & mask).sum() / max((ours | mask).sum(), 1))
