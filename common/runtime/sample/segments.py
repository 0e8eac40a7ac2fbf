"""The finished segments of a long video, kept until it is whole: a job that ended early goes on from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.media.shelf import Hold, Shelf

Frames = NDArray[np.uint8]
NAME = "segment"


def own_frames(index: int, num_frames: int, length: int, carried: int) -> list[int]:
    """Frames of the video that segment `index` is made of, `length` of them.

    Beyond the video's end they go back and forth, as diffusers has them do: what is made of those is cut off.
    """
    start = index * (length - carried)
    return [_bounced(n, num_frames) for n in range(start, start + length)]


def _bounced(number: int, count: int) -> int:
    if count == 1:
        return 0
    number %= 2 * (count - 1)
    return number if number < count else 2 * (count - 1) - number


class Kept:
    """The segments of one video as files in a folder: whoever makes them writes, and another process may read."""

    def __init__(self, folder: Path, count: int, hold: Hold = lambda _: None) -> None:
        self.count = count
        self._shelf = Shelf(folder, hold)

    def read(self, index: int) -> Frames | None:
        """The frames [frames, height, width, 3]; None where they are not there, or not whole."""
        if (path := self._shelf.find(NAME, index)) is None:
            return None
        try:
            return np.load(path, allow_pickle=False)
        except OSError:  # deleted just now
            return None

    def files(self, index: int) -> list[Path]:
        """The file of a segment; none where it is not there."""
        path = self._shelf.find(NAME, index)
        return [path] if path else []

    def has(self, index: int) -> bool:
        """Whether a segment is there, whole."""
        return self._shelf.find(NAME, index) is not None

    def write(self, index: int, frames: Frames) -> None:
        """Keeps a segment, whole or not at all."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, frames, allow_pickle=False)

        self._shelf.keep(NAME, index, ".npy", write)

    def clear(self) -> None:
        """Lets them go: the video is there."""
        shutil.rmtree(self._shelf.folder, ignore_errors=True)
