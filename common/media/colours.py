"""Colours that drift where a model goes on from a clip: measured on frames that are known, and taken back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
Levels = tuple[float, float, float]
"""Red, green, blue, of 255."""

AFTER = 4
"""New frames that must show a drift too: what only a first frame has goes away by itself (a VAE decodes it alone)."""
MIDDLE = 0.5
"""Of all pixels, so many about the median are looked at: what moves or is blurred differs for another reason."""
MOST = 24.0
"""A channel is moved by so much at the most: beyond that the frames are not the same, and it is no drift."""
SEEN = 0.5
"""Below this nothing is done: frames of 8 bits do not show it."""


@dataclass(frozen=True)
class Drift:
    """How much brighter each channel of a new part is than it should be.

    `exact` is measured on frames that were given and made again; `lasting` on the next new ones, beside the last that
    was given. `offset` is what both agree in: that is taken back.
    """

    exact: Levels
    lasting: Levels

    @classmethod
    def between(cls, given: Frames, made: Frames) -> Drift:
        """`given` are the first of `made` as they really are; both [frames, height, width, 3]."""
        after = made[len(given) :][:AFTER]
        exact = _offset(given, made[: len(given)])
        return cls(exact, _offset(np.broadcast_to(given[-1], after.shape), after) if len(after) else exact)

    @property
    def offset(self) -> Levels:
        """By channel the smaller of both measures, nothing where they contradict each other or are not seen."""
        both = zip(self.exact, self.lasting, strict=True)
        red, green, blue = (min(a, b, key=abs) if a * b > 0 and min(abs(a), abs(b)) >= SEEN else 0.0 for a, b in both)
        return red, green, blue

    @property
    def seen(self) -> bool:
        """Whether there is anything to take back."""
        return any(self.offset)

    def taken_back(self, frame: Frames) -> Frames:
        """A new frame [height, width, 3] as it would be without."""
        if not self.seen:
            return frame
        move = np.round(np.clip(self.offset, -MOST, MOST)).astype(np.int16)
        return (frame.astype(np.int16) - move).clip(0, 255).astype(np.uint8)

    @property
    def words(self) -> str:
        """The figures, for a notice."""
        names = ("red", "green", "blue")
        there = ", ".join(f"{n} {v:+.1f}" for n, v in zip(names, self.exact, strict=True))
        back = ", ".join(f"{n} {-v:+.1f}" for n, v in zip(names, self.offset, strict=True) if v)
        return f"{there} of 255; {f'corrected by {back}' if back else 'nothing to correct'}"


def _offset(true: Frames, made: Frames) -> Levels:
    """Made less true, by channel: the mean of the middle differences of all pixels."""
    counts = np.zeros((3, 511), np.int64)
    for a, b in zip(true, made, strict=True):  # one by one: a stack of differences at 720p would take gigabytes
        differences = b.astype(np.int16) - a + 255
        counts += [np.bincount(differences[..., c].ravel(), minlength=511) for c in range(3)]
    red, green, blue = (_middle(row) for row in counts)
    return red, green, blue


def _middle(counts: NDArray[np.int64]) -> float:
    """The mean of the values -255 to 255, so often each, without a share at both ends."""
    reached = np.cumsum(counts) / counts.sum()
    low, high = (1 - MIDDLE) / 2, (1 + MIDDLE) / 2
    share = np.clip(reached, low, high) - np.clip(np.concatenate([[0.0], reached[:-1]]), low, high)
    return float((share * np.arange(-255, 256)).sum() / MIDDLE)
