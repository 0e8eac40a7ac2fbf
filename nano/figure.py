"""How Animate is told where a shape is, how large and how turned: a disc with a hand, on black.

Training draws with tensors and the tracker with arrays, by the same few lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DISC, HAND = (0.20, 0.35, 1.0), (1.0, 0.85, 0.15)
BOX, MARGIN = 1.25, 0.12
"""The box around a performer reaches so many radii and so many half-heights more: its shadow is in it."""
FACE = 1.3
"""The face is the square that reaches so many radii from the centre."""


def covers(dx: Any, dy: Any, radius: Any, cosine: Any, sine: Any) -> tuple[Any, Any]:
    """How much of each pixel disc and hand fill, 0…1, at offsets from the centre; all of it in pixels.

    The hand points up at angle 0 and turns clockwise.
    """
    away = (dx * dx + dy * dy + 1e-6) ** 0.5
    along, across = dx * sine - dy * cosine, abs(dx * cosine + dy * sine)
    disc = (radius - away + 0.5).clip(0, 1)
    hand = (0.16 * radius + 1 - across).clip(0, 1) * (along + 0.5).clip(0, 1)
    return disc, hand * disc


def painted(disc: Any, hand: Any, channel: int) -> Any:
    """One channel of the picture, 0…1."""
    return DISC[channel] * (disc - hand) + HAND[channel] * hand


def drawn(x: float, y: float, radius: float, angle: float, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture [height, width, 3] of one figure; `size` is (width, height)."""
    dx = np.arange(size[0])[None, :] - x
    dy = np.arange(size[1])[:, None] - y
    disc, hand = covers(dx, dy, radius, float(np.cos(angle)), float(np.sin(angle)))
    return (np.stack([painted(disc, hand, c) for c in range(3)], -1) * 255).round().astype(np.uint8)


def reach(radius: Any, height: int) -> Any:
    """Half a side of the performer's box, in pixels of a picture of that height."""
    return BOX * radius + MARGIN * (height - 1) / 2
