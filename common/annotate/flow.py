"""Optical flow as colours: the hue is the direction, the saturation the speed."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Check, Frames, Picture, array, picture, unchecked, watched

Flow = NDArray[np.float32]
"""Height x width x 2: how far each pixel moves right and down to the next frame."""

STILL = 0.5
"""Pixels a frame."""

# Baker et al. 2007, "A Database and Evaluation Methodology for Optical Flow": steps from hue to hue.
_STEPS = (("RY", 15), ("YG", 6), ("GC", 4), ("CB", 11), ("BM", 13), ("MR", 6))


def dis_flow(frames: Frames, check: Check = unchecked) -> Frames:
    """Flow maps by OpenCV's DIS. The first is shown twice, so that there is one a frame."""
    lumas = (cv2.cvtColor(array(f), cv2.COLOR_RGB2GRAY) for f in watched(frames, check))
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    pairs = itertools.pairwise(lumas)
    return flow_maps([dis.calc(a, b, np.zeros((*a.shape, 2), np.float32)) for a, b in pairs], frames[0].size)


def flow_maps(flows: Sequence[NDArray[Any]], size: tuple[int, int]) -> Frames:
    """Flows as pictures, the first one duplicated; a single frame has none and stays white."""
    if not flows:
        return [picture(np.full((size[1], size[0], 3), 255))]
    maps = [picture(colour(flow)) for flow in flows]
    return [maps[0], *maps]


def wheel() -> NDArray[np.float32]:
    """The 55 hues of the colour wheel, 0 to 255: red, yellow, green, cyan, blue, magenta and back."""
    corners = {
        "R": (255, 0, 0), "Y": (255, 255, 0), "G": (0, 255, 0),
        "C": (0, 255, 255), "B": (0, 0, 255), "M": (255, 0, 255),
    }  # fmt: skip
    parts: list[NDArray[np.float32]] = []
    for (start, end), count in _STEPS:
        a, b = np.array(corners[start], np.float32), np.array(corners[end], np.float32)
        rise = np.floor(255 * np.arange(count, dtype=np.float32) / count)[:, None]
        parts.append(a + np.sign(b - a) * rise)
    return np.concatenate(parts)


def colour(flow: Flow) -> Picture:
    """One flow on the wheel, white where nothing moves; the fastest pixel of the map is fully saturated.

    Unless even that is slower than STILL: the noise of a clip that stands still is no motion.
    """
    u, v = flow[..., 0].astype(np.float32), flow[..., 1].astype(np.float32)
    speed = np.sqrt(u * u + v * v)
    scale = max(float(speed.max()), STILL)
    hues = wheel()
    # Moving right is red, as on Baker's wheel: arctan2 of the reversed flow is -pi there.
    turn = (np.arctan2(-v, -u) / np.pi + 1) / 2 * (len(hues) - 1)
    low = np.floor(turn).astype(int)
    share = (turn - low)[..., None]
    hue = (hues[low] * (1 - share) + hues[(low + 1) % len(hues)] * share) / 255
    pale = 1 - (speed / scale)[..., None] * (1 - hue)
    return np.floor(255 * pale).astype(np.uint8)
