"""Opens the pictures that users hand in, upright and no larger than needed, and fits them to a size."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from common.contract import MediaHandle
from common.media.files import local_file, shown_name
from common.media.opening import open_picture, upright_size
from common.modes import rules

Size = tuple[int, int]
"""Width, height."""

ASPECT_TOLERANCE = 0.03
MOVING = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats of pictures that may be animated."""
WHITES = (255.0, 4095.0, 65535.0)
ROOMY = 4
"""A scaled picture has at most so many times the pixels that are needed: a strip never covers otherwise."""


class Fitted(NamedTuple):
    """A picture of exactly the asked size, and what was cut off to get there."""

    image: Image.Image
    notice: str | None


def picture_size(handle: MediaHandle, field: str) -> Size:
    """Width and height of a picture as it is meant to be seen, from its header."""
    path = local_file(handle, field)
    with open_picture(path, field, name=shown_name(handle)) as image:
        return upright_size(image)


def open_image(
    handle: MediaHandle, field: str, need: Size | None = None, say: Callable[[str], None] = lambda _: None
) -> Image.Image:
    """An upright RGB picture, no larger than it takes to cover `need`; transparency lies on white.

    `say` hears what was lost on the way: transparency, motion, finer grays.
    """
    return _opened(handle, field, need, say, _on_white)


def open_mask(
    handle: MediaHandle, field: str, need: Size | None = None, say: Callable[[str], None] = lambda _: None
) -> Image.Image:
    """The same of a mask: what is transparent is kept, as an editor's layer means it.

    A layer that is painted in one dark colour has its paint for white.
    """
    return _opened(handle, field, need, say, _as_layer)


def _on_white(picture: Image.Image, field: str, say: Callable[[str], None]) -> Image.Image:
    say(f"{field} is transparent in places; they are white now.")
    upright = Image.new("RGBA", picture.size, "white")
    upright.alpha_composite(picture)
    return upright


def _as_layer(picture: Image.Image, field: str, say: Callable[[str], None]) -> Image.Image:
    black = Image.new("RGBA", picture.size, "black")
    black.alpha_composite(picture)
    if np.asarray(black.convert("L")).max() >= 128:
        say(f"{field} is transparent in places; they are kept, as if they were black.")
        return black
    say(f"{field} is painted dark on transparency; what is painted is made anew.")
    return picture.getchannel("A")


def _opened(
    handle: MediaHandle,
    field: str,
    need: Size | None,
    say: Callable[[str], None],
    solid: Callable[[Image.Image, str, Callable[[str], None]], Image.Image],
) -> Image.Image:
    path = local_file(handle, field)
    with open_picture(path, field, name=shown_name(handle)) as image:
        if image.format in MOVING and getattr(image, "is_animated", False):
            say(f"{field} is animated; its first picture is used.")
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode[0] in "IF":
            upright, most = eight_bits(upright)
            say(f"{field} has finer grays than a video; 0 to {most:g} became 0 to 255.")
        if upright.has_transparency_data:
            rgba = upright.convert("RGBA")
            upright = solid(rgba, field, say) if np.asarray(rgba)[..., 3].min() < 255 else rgba
        rgb = upright.convert("RGB")
    size = covering(rgb.size, need) if need else rgb.size
    return rgb if size == rgb.size else rgb.resize(size, Image.Resampling.LANCZOS)


def eight_bits(image: Image.Image) -> tuple[Image.Image, float]:
    """A gray picture of integers or floats as one of 0 to 255, and the value that became 255.

    Pillow itself cuts off at 255, which makes nearly everything white. White is the least usual one that no pixel
    exceeds: 1 (floats), 8, 12 or 16 bits, else the brightest pixel.
    """
    values = np.nan_to_num(np.asarray(image, np.float64), posinf=0, neginf=0)
    brightest = float(values.max())
    usual = (1.0, *WHITES) if image.mode == "F" else WHITES
    most = next((white for white in usual if brightest <= white), brightest)
    return Image.fromarray((values.clip(0, most) * (255 / most)).round().astype(np.uint8)), most


def covering(size: Size, need: Size) -> Size:
    """The smallest size of the same shape that still covers `need`; `size` where it is smaller already."""
    area = need[0] * need[1]
    roomy = sqrt(ROOMY * area / (size[0] * size[1]))
    scale = min(max(need[0] / size[0], need[1] / size[1]), roomy)
    if scale >= 1:
        return size

    def side(own: int, needed: int) -> int:
        scaled = max(round(own * scale), 1)
        # Even margins: the centre that is cut out then lies on whole pixels and is not blurred by half a one.
        return min(scaled + (scaled - needed) % 2 if scaled > needed else scaled, own)

    return side(size[0], need[0]), side(size[1], need[1])


def fit(image: Image.Image, width: int, height: int, field: str = "image", own: Size | None = None) -> Fitted:
    """Covers `width` x `height` and cuts the centre out; says so when the shapes differ visibly.

    `own` is the picture's size before it was scaled, for what is said.
    """
    own = own or image.size
    notice = rules.crop_notice(field, own, (width, height), least=ASPECT_TOLERANCE)
    if image.size == (width, height):
        return Fitted(image, notice)
    fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS, centering=(0.5, 0.5))
    return Fitted(fitted, notice)
