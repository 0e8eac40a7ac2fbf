"""Cuts a person out of a frame with GrabCut, on a small copy."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import WHITE, Frame, array, picture
from common.annotate.keypoints import Floats
from common.driving.proportions import Region

SIDE = 128
"""Pixels of the longer side; GrabCut's time grows faster than their number."""

_ROUNDS = 1
_CORE = 0.5
_LEAST = 0.4
"""Of the figure that was expected: with less, GrabCut took the person for the background."""


def cut_out(frame: Frame, region: Region) -> Frame:
    """White where the person is."""
    scale = min(SIDE / max(frame.size), 1.0)
    size = (max(round(frame.width * scale), 1), max(round(frame.height * scale), 1))
    small = cv2.resize(array(frame), size, interpolation=cv2.INTER_AREA)
    shape = np.zeros(small.shape[:2], np.uint8)
    core = shape.copy()
    for part in (region.head, region.trunk):
        cv2.fillPoly(shape, [_pixels(part, scale)], 1)
        middle = part.mean(0)
        cv2.fillPoly(core, [_pixels(middle + (part - middle) * _CORE, scale)], 1)
    left, top, right, bottom = np.round(region.box * scale).astype(int)
    room = np.zeros_like(shape)
    room[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = 1
    found = _grown(small, shape & room, core & room, room)
    cv2.fillPoly(found, [_pixels(region.head, scale)], 1)  # hair has many colours
    return picture(
        cv2.resize(found * np.uint8(WHITE), frame.size, interpolation=cv2.INTER_LINEAR) // 128 * WHITE
    )


def _grown(small: NDArray[Any], shape: NDArray[Any], core: NDArray[Any], room: NDArray[Any]) -> NDArray[Any]:
    labels = np.where(room, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[shape > 0], labels[core > 0] = cv2.GC_PR_FGD, cv2.GC_FGD
    if not shape.any() or not (labels == cv2.GC_BGD).any():
        return shape
    cv2.setRNGSeed(0)  # it draws its first colours at random, and the same clip must give the same mask
    cv2.grabCut(
        small, labels, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), _ROUNDS, cv2.GC_INIT_WITH_MASK
    )
    found = ((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    _, parts = cv2.connectedComponents(found)
    belongs = np.unique(parts[(core > 0) & (found > 0)])
    found = (np.isin(parts, belongs[belongs > 0])).astype(np.uint8)
    return found if found.sum() >= _LEAST * shape.sum() else shape


def _pixels(polygon: Floats, scale: float) -> NDArray[np.int32]:
    return np.round(polygon * scale).astype(np.int32)
