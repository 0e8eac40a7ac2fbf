"""Writes the mp4 with its lineage in the comment tag, readable by any ffprobe."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from common import cache
from common.contract import Lineage
from common.media.pictures import Size

BT709 = 1
CRF = "16"


def write_video(frames: NDArray[np.uint8], fps: int, path: Path, lineage: Lineage | None) -> None:
    """H.264, yuv420p, index first; `frames` is [frames, height, width, 3]. Appears whole or not at all."""
    height, width = frames.shape[1:3]
    write_pictures(frames, (width, height), fps, path, lineage)


def write_pictures(
    pictures: Iterable[NDArray[np.uint8]], size: Size, fps: int, path: Path, lineage: Lineage | None
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
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace=BT709, dst_color_range=1)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
