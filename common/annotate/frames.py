"""Frames as everybody here passes them: fitted to one size, gray where there is nothing to see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Frame = Image.Image
Frames = list[Image.Image]
Picture = NDArray[np.uint8]


class Check(Protocol):
    """Asked before each frame: raises Cancelled once the job is stopped, and is told how far the work is."""

    def __call__(self, done: int = 0, total: int = 0) -> None: ...


GRAY = 128
"""Missing pixels. The model's middle is 127.5; 128 is 0.004 off on its scale of -1 to 1."""
BLACK, WHITE = 0, 255


@dataclass
class Control:
    """What VACE is given: control video, mask and references, with what should be said about them.

    `kept` says that the video is the source itself wherever the mask is black.
    """

    video: Frames
    mask: Frames
    references: Frames = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    kept: bool = False


def unchecked(done: int = 0, total: int = 0) -> None:
    """For a caller whom nobody stops."""


def watched(frames: Iterable[Frame], check: Check) -> Iterator[Frame]:
    """The frames, with a look at `check` before each."""
    total = len(frames) if isinstance(frames, Sized) else 0
    for done, frame in enumerate(frames):
        check(done, total)
        yield frame


def solid(value: int, width: int, height: int) -> Frame:
    """A picture of one gray value."""
    return Image.new("RGB", (width, height), (value, value, value))


def repeated(value: int, count: int, width: int, height: int) -> Frames:
    """So many pictures of one gray value."""
    return [solid(value, width, height) for _ in range(count)]


def cover(image: Frame, width: int, height: int) -> Frame:
    """Scales until the frame is covered, then cuts the centre out."""
    if image.size == (width, height):
        return image
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS, centering=(0.5, 0.5))


@dataclass(frozen=True)
class Placement:
    """Where a scaled picture lies in a frame."""

    left: int
    top: int
    width: int
    height: int


def contain(source: tuple[int, int], width: int, height: int) -> Placement:
    """The largest centred place in `width` x `height` with the shape of `source` (width, height)."""
    scale = min(width / source[0], height / source[1])
    w, h = max(round(source[0] * scale), 1), max(round(source[1] * scale), 1)
    return Placement((width - w) // 2, (height - h) // 2, w, h)


def letterbox(image: Frame, width: int, height: int, fill: int = BLACK) -> Frame:
    """Scales until it fits, centred, with `fill` around it."""
    return paste(image, contain(image.size, width, height), width, height, fill)


def paste(image: Frame, at: Placement, width: int, height: int, fill: int) -> Frame:
    """A picture scaled into its place on a canvas of one value."""
    canvas = solid(fill, width, height)
    size = (at.width, at.height)
    scaled = image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
    canvas.paste(scaled, (at.left, at.top))
    return canvas


def fitted(images: Iterable[Frame], width: int, height: int, fit: str = "crop", fill: int = BLACK) -> Frames:
    """Every picture at exactly this size, by cropping or by padding with `fill`."""
    if fit == "pad":
        return [letterbox(image, width, height, fill) for image in images]
    return [cover(image, width, height) for image in images]


def array(image: Frame) -> Picture:
    """Height x width x 3, in RGB order."""
    return np.asarray(image.convert("RGB"))


def picture(values: NDArray[np.generic]) -> Frame:
    """An RGB picture from an array of 0 to 255, height x width (x 3)."""
    clipped = np.clip(values, 0, 255).astype(np.uint8)
    if clipped.ndim == 2:
        clipped = np.repeat(clipped[..., None], 3, axis=2)
    return Image.fromarray(np.ascontiguousarray(clipped))
