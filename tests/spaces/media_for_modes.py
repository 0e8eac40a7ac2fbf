"""Small pictures and clips that the Spaces' tests share."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

SIDE = 128


def frame(shift: int = 0, colour: str = "red", side: int = SIDE) -> Image.Image:
    """A square on black, moved to the right."""
    image = Image.new("RGB", (side, side), "black")
    image.paste(colour, (20 + shift, 40, 60 + shift, 80))
    return image


def picture(path: Path, shift: int = 0, colour: str = "red") -> dict[str, str]:
    """A handle to a picture."""
    frame(shift, colour).save(path)
    return {"path": str(path)}


def clip(path: Path, frames: int = 5, fps: int = 16, side: int = SIDE) -> dict[str, str]:
    """A handle to a clip of the square moving."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=fps, options={"crf": "10"})
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            out.mux(stream.encode(av.VideoFrame.from_image(frame(4 * i, side=side))))
        out.mux(stream.encode())
    return {"path": str(path), "mime": "video/mp4"}


def mask(path: Path) -> dict[str, str]:
    """A handle to a mask: white on the left half."""
    image = Image.new("RGB", (SIDE, SIDE), "black")
    image.paste("white", (0, 0, SIDE // 2, SIDE))
    image.save(path)
    return {"path": str(path)}


def read(path: Path | str) -> np.ndarray:
    """All frames of a file."""
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
