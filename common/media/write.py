"""Writes the mp4, silent or with a sound; its lineage is in the comment tag, readable by any ffprobe."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.codec.context import ThreadType
from av.container import OutputContainer
from av.error import FFmpegError
from numpy.typing import NDArray

from common import cache
from common.contract import Lineage
from common.media.finished import broken
from common.media.opening import open_clip, packets
from common.media.pictures import Size
from common.media.sound import HEARD_RATE, Samples

BT709 = 1
CRF = "16"
SOUND_BITS = 96_000
"""A second and channel: AAC at which speech and music sound like their source."""


def write_video(
    frames: NDArray[np.uint8], fps: int, path: Path, lineage: Lineage | None, sound: Samples | None = None
) -> None:
    """H.264, yuv420p, index first; `frames` is [frames, height, width, 3]. Appears whole or not at all.

    With a `sound`, of one or two channels, AAC at 48 kHz beside it: its first sample comes with the first frame, and
    it ends with the last one at the latest.
    """
    height, width = frames.shape[1:3]
    write_pictures(frames, (width, height), fps, path, lineage, sound)


def write_pictures(
    pictures: Iterable[NDArray[np.uint8]],
    size: Size,
    fps: int,
    path: Path,
    lineage: Lineage | None,
    sound: Samples | None = None,
) -> None:
    """The same of pictures [height, width, 3] that come one by one."""
    with (
        cache.whole(path) as part,
        av.open(str(part), "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        if lineage is not None:
            container.metadata["comment"] = lineage.model_dump_json()
        stream = container.add_stream("libx264", rate=fps, options={"crf": CRF, "preset": "veryfast"})
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        # Untagged colours are read as BT.601 or BT.709 by size: tag them, and convert accordingly.
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = 1
        context.thread_type = ThreadType.FRAME  # whole frames side by side: faster than slices, and no larger
        track = _Track(container, sound) if sound is not None and sound.values.size else None
        for number, picture in enumerate(pictures, 1):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=1)
            for packet in stream.encode(frame):
                container.mux(packet)
            if track:  # side by side, or the file would hold all pictures before all sound
                track.until(number / fps)
        for packet in stream.encode():
            container.mux(packet)
        if track:
            track.end()


def write_copy(source: Path, path: Path, lineage: Lineage) -> None:
    """The pictures and the sound of a finished video as they are, with the lineage; ResultError where it is none.

    No frame is encoded again.
    """
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
        raise broken() from None


class _Track:
    """A video's sound, encoded as far as its pictures are.

    AAC begins with samples that nobody should hear; the mp4's edit list says so, and every player goes by it.
    """

    def __init__(self, container: OutputContainer, sound: Samples) -> None:
        self._container, self._sound, self._done = container, sound, 0
        self._layout = "mono" if len(sound.values) == 1 else "stereo"
        self._stream = container.add_stream("aac", rate=HEARD_RATE, layout=self._layout)
        self._stream.codec_context.bit_rate = SOUND_BITS * len(sound.values)

    def until(self, seconds: float) -> None:
        """Writes what comes before this moment."""
        end = round(seconds * self._sound.rate)
        piece = np.ascontiguousarray(self._sound.values[:, self._done : end])
        if not piece.size:
            return
        frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=self._layout)
        frame.sample_rate, frame.time_base = self._sound.rate, Fraction(1, self._sound.rate)
        frame.pts, self._done = self._done, self._done + piece.shape[1]
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Writes what the encoder has kept."""
        self._container.mux(self._stream.encode())
