"""Clips without loss, for work in between: every pixel as it was, each frame readable by itself.

They are our own files, written and read here alone: a damaged one raises FFmpegError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import av
import numpy as np
from PIL import Image


def write(frames: Iterable[Image.Image], fps: int, path: Path) -> None:
    """FFV1 in Matroska, whatever the file is called. All frames have the size of the first."""
    pictures = iter(frames)
    first = next(pictures)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("ffv1", rate=fps)
        stream.width, stream.height = first.size
        stream.pix_fmt = "bgr0"  # FFV1 keeps RGB as it is; yuv would not
        for image in chain([first], pictures):
            if image.size != first.size:
                raise ValueError(f"a frame of {image.size} in a clip of {first.size}")
            frame = av.VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="bgr0")))
        container.mux(stream.encode())


def read(path: Path) -> Iterator[Image.Image]:
    """The frames, one by one."""
    with av.open(str(path), format="matroska") as container:
        for frame in container.decode(video=0):
            yield frame.to_image()
