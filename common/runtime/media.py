"""Finds the files that users hand in and opens pictures; every failure is a MediaError that names the input."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError
from common.modes import rules
from common.opening import open_picture, upright_size

Size = tuple[int, int]
"""Width, height."""

ASPECT_TOLERANCE = 0.03
MOVING = ("GIF", "PNG", "WEBP", "AVIF")
"""Formats of pictures that may be animated."""
WHITES = (255.0, 4095.0, 65535.0)
ROOMY = 4
"""A scaled picture has at most so many times the pixels that are needed: a strip never covers otherwise."""

VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".m4v", ".avi")


class Fitted(NamedTuple):
    """A picture of exactly the asked size, and what was cut off to get there."""

    image: Image.Image
    notice: str | None


# ---------------------------------------------------------------------- files


def local_file(handle: MediaHandle, field: str) -> Path:
    """The handle's file, checked to be there and to hold something."""
    if handle.path.startswith(("http://", "https://")):
        raise MediaError(field, "is a URL that was not fetched", hint="upload the file instead")
    path, name = Path(handle.path), shown_name(handle)
    try:
        if not path.is_file():
            raise MediaError(field, f"has no file {name}", hint="it may have expired; upload it again")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise MediaError(field, f"cannot be read: {name}", hint="upload it again") from error
    if size == 0:
        raise MediaError(field, f"is an empty file: {name}", hint="upload it again")
    limit = BUDGETS.upload_bytes if is_video(handle) else BUDGETS.image_bytes
    if size > limit:
        rule = f"must be at most {limit / 1e6:.3g} MB"
        raise MediaError(field, rule, got=f"{size / 1e6:.0f} MB", hint="try a smaller one")
    return path


def shown_name(handle: MediaHandle) -> str:
    """The file's name as an error may show it: short, and odd characters escaped."""
    name = handle.orig_name or Path(handle.path).name
    return repr(name if len(name) <= 80 else f"{name[:80]}…")


def is_video(handle: MediaHandle) -> bool:
    """Whether the handle is a clip: by its mime type, else by the ending of its name."""
    mime = mime_of(handle)
    if mime:
        return mime.startswith("video/")
    return Path(handle.path).suffix.lower() in VIDEO_SUFFIXES


def mime_of(handle: MediaHandle) -> str:
    """The handle's mime type, else what its name suggests."""
    return handle.mime or mimetypes.guess_type(handle.orig_name or handle.path)[0] or ""


def sha256(path: Path) -> str:
    """The file's hash, by which lineage names parents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# ---------------------------------------------------------------------- pictures


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
            if np.asarray(rgba)[..., 3].min() < 255:
                say(f"{field} is transparent in places; they are white now.")
            upright = Image.new("RGBA", rgba.size, "white")
            upright.alpha_composite(rgba)
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
