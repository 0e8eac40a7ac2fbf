"""A photograph of a person, and clips made of it.

astronaut.jpg is Eileen Collins by NASA, in the public domain: the picture that scikit-image ships as `astronaut`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PIL import Image

FILE = Path(__file__).with_name("astronaut.jpg")
SIZE = (832, 480)
GREY = (120, 130, 140)
FACE = (224 / 512, 120 / 512)
"""Where the middle of her face lies in the photograph, read off it by eye; eyes, nose and chin too."""
RIGHT_EYE, LEFT_EYE, NOSE, CHIN = (203, 102), (246, 103), (224, 129), (222, 175)

Place = tuple[float, float, float]
"""Left and top of the photograph in the frame, and the side that it has there."""


def photograph() -> Image.Image:
    return Image.open(FILE).convert("RGB")


def scene(*places: Place, size: tuple[int, int] = SIZE, mirrored: bool = False) -> Image.Image:
    """The photograph at some places of a gray wall."""
    wall, photo = Image.new("RGB", size, GREY), photograph()
    if mirrored:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for left, top, side in places:
        scale = photo.width / side
        back = (scale, 0, -left * scale, 0, scale, -top * scale)
        inside = Image.new("L", photo.size, 255).transform(size, Image.Transform.AFFINE, back)
        drawn = photo.transform(size, Image.Transform.AFFINE, back, Image.Resampling.BICUBIC)
        wall.paste(drawn, (0, 0), inside)
    return wall


def clip(count: int, where: Callable[[float], Place]) -> list[Image.Image]:
    """Frames in which the photograph moves: `where` it is, from 0 at the first to 1 at the last."""
    return [scene(where(i / (count - 1))) for i in range(count)]


def at(point: tuple[float, float], place: Place) -> tuple[float, float]:
    """Where a point of the photograph lies in the frame."""
    left, top, side = place
    return left + point[0] * side / 512, top + point[1] * side / 512
