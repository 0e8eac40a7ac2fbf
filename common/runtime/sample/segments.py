"""The finished segments of a long video, kept until it is whole: a job that ended early goes on from them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common import cache

Frames = NDArray[np.uint8]


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

    def __init__(self, folder: Path, count: int) -> None:
        self.folder, self.count = folder, count

    @property
    def paths(self) -> list[Path]:
        """Where each of them is, or will be."""
        return [self.folder / f"{index:03}.npy" for index in range(self.count)]

    def read(self, index: int) -> Frames | None:
        """The frames [frames, height, width, 3]; None where they are not there, or not whole."""
        try:
            return np.load(self.paths[index], allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def has(self, index: int) -> bool:
        """Whether a segment is there, whole."""
        try:
            return len(np.load(self.paths[index], mmap_mode="r", allow_pickle=False)) > 0
        except (OSError, ValueError, EOFError):
            return False

    def write(self, index: int, frames: Frames) -> None:
        """Keeps a segment, whole or not at all."""
        with cache.whole(self.paths[index]) as part, part.open("wb") as file:
            np.save(file, frames, allow_pickle=False)

    def clear(self) -> None:
        """Lets them go: the video is there."""
        shutil.rmtree(self.folder, ignore_errors=True)
