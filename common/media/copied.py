"""A finished video of somebody else: measured, and copied with its lineage. No frame is encoded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import av
from av.error import FFmpegError

from common import cache
from common.contract import Lineage
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
        raise _broken() from None
    if not fps or not frames:
        raise _broken()
    return Measured(first.width, first.height, frames, round(fps, 3))


def with_lineage(source: Path, path: Path, lineage: Lineage) -> None:
    """The pictures and the sound of `source`, as they are, with the lineage beside them; whole or not at all."""
    try:
        with (
            cache.whole(path) as part,
            open_clip(source) as given,
            av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container,
        ):
            container.metadata["comment"] = lineage.model_dump_json()
            tracks = [given.streams.video[0], *given.streams.audio[:1]]
            copies = {track.index: container.add_stream_from_template(track) for track in tracks}
            for packet in packets(given, *tracks):
                if packet.dts is None:  # it only says that a track has ended
                    continue
                packet.stream = copies[packet.stream.index]
                container.mux(packet)
    except (FFmpegError, ValueError):
        raise _broken() from None


def _broken() -> ResultError:
    return ResultError("the server sent a file that is no video; see its log, then try again")
