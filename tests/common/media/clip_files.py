"""Clips for tests, made cheaply: one frame encoded once and written many times, or ffmpeg's counting pattern."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from common.contract import MediaHandle

PATTERN = "testsrc=size=96x64:rate=10:duration=3"
"""Thirty frames, no two alike."""


def handle(path: Path) -> MediaHandle:
    return MediaHandle(path=str(path), mime="video/mp4")


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def pattern(path: Path, *options: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", PATTERN, "-pix_fmt", "yuv420p", *options, path)
    return path


def repeated(path: Path, width: int, height: int, frames: int, fps: int = 10) -> Path:
    """A flat frame, encoded once."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "51"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        frame = av.VideoFrame(width, height, "yuv420p")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        packets = [*stream.encode(frame), *stream.encode()]
        content = bytes(packets[0])
        for number in range(frames):
            packet = av.Packet(content)
            packet.stream, packet.time_base = stream, Fraction(1, fps)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            out.mux(packet)
    return path


def uneven(path: Path, times: list[int], fps: int) -> Path:
    """A clip whose frames come at these counts of 1/fps, each brighter than the last."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        stream.codec_context.time_base = Fraction(1, fps)
        for index, time in enumerate(times):
            shade = np.full((64, 64, 3), 255 * index // len(times), np.uint8)
            frame = av.VideoFrame.from_ndarray(shade, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, fps)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def lying(source: Path, path: Path) -> Path:
    """The same clip as a phone that was held upright stores it."""
    with av.open(str(source)) as whole, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(whole.streams.video[0])
        stream.set_display_rotation(90)
        for packet in whole.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    return path


def read(path: Path) -> list[np.ndarray]:
    """Every frame, decoded from the first to the last."""
    with av.open(str(path)) as container:
        return [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]


def number(picture: object, frames: list[np.ndarray]) -> int:
    """Which of `frames` a picture is."""
    shown = np.asarray(picture).astype(int)
    return int(np.argmin([np.abs(shown - frame).mean() for frame in frames]))
