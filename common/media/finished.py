"""A finished video that came from a server: what it really holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from av.error import FFmpegError

from common.errors import ResultError
from common.media.opening import open_clip, packets


@dataclass(frozen=True)
class Measured:
    """Size in pixels, number of frames, and frames a second."""

    width: int
    height: int
    frames: int
    fps: float

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width}x{self.height} at {self.fps:g} a second"


def measured(path: Path) -> Measured:
    """What a file really holds, by its packets and its first frame; ResultError where it is no video."""
    try:
        with open_clip(path) as container:
            stream = container.streams.video[0]
            first = next(iter(container.decode(stream)))
            fps = float(stream.average_rate or 0)
        with open_clip(path) as container:
            frames = sum(1 for packet in packets(container, container.streams.video[0]) if packet.size)
    except (FFmpegError, OSError, ValueError, IndexError, StopIteration):
        raise broken() from None
    if not fps or not frames:
        raise broken()
    return Measured(first.width, first.height, frames, round(fps, 3))


def broken() -> ResultError:
    """What is told of a file that is none."""
    return ResultError("the server sent a file that is no video; see its log, then try again")
