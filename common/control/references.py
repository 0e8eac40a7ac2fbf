"""Reference pictures: fitted, centred, on white, each of the video's size."""

from __future__ import annotations

from collections.abc import Sequence

from common.annotate.frames import WHITE, Frame, Frames, letterbox
from common.annotate.masks import pixels


def references(images: Sequence[Frame], width: int, height: int) -> Frames:
    """Each picture whole, as large as it fits, with white around it."""
    return [letterbox(image, width, height, WHITE) for image in images]


def cropped(image: Frame, box: Sequence[float] | None, margin: float = 0.0) -> Frame:
    """What lies in a box (shares of the picture), with a margin around it; the whole picture without one."""
    if box is None:
        return image
    left, top, right, bottom = pixels(box, *image.size)
    x, y = round((right - left) * margin), round((bottom - top) * margin)
    return image.crop(
        (max(left - x, 0), max(top - y, 0), min(right + x, image.width), min(bottom + y, image.height))
    )
