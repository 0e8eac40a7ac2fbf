"""Opens files of strangers: formats that people use and no other, measured by their headers before any decoding.

No torch here: panels, the router and the makers of videos all open files through these.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

import av
from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from PIL import Image

from common.budgets import BUDGETS
from common.errors import MediaError

ORIENTATION = 0x0112
LYING = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""

PICTURES: Final = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")
CLIPS: Final = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,gif"
"""Containers that hold their own media. Playlists (HLS, DASH, concat, SDP) name other files, or hosts to ask."""
SOUNDS: Final = f"{CLIPS},wav,w64,aiff,caf,au,mp3,aac,ac3,flac,ogg,amr,asf,wv"
"""The same of sounds, which are taken from clips too."""


@contextmanager
def open_picture(
    source: Path | str | BinaryIO, field: str, *, pixels: int | None = None, name: str = ""
) -> Iterator[Image.Image]:
    """A picture of which only the header is read; whatever decoding it raises inside is a MediaError."""
    most = BUDGETS.image_pixels if pixels is None else pixels
    rule = f"must be at most {most / 1e6:.3g} megapixels"
    try:
        with Image.open(source, formats=PICTURES) as image:
            if image.width * image.height > most:
                raise MediaError(field, rule, got=f"{image.width}x{image.height}", hint="scale it down")
            yield image
    except MediaError:
        raise
    except Image.DecompressionBombError as error:  # Pillow's own limit, met at the header
        raise MediaError(field, rule, hint="scale it down") from error
    except Exception as error:  # a damaged file raises anything: SyntaxError, struct.error, zlib.error…
        text = f"is not a readable picture{f': {name}' if name else ''}"
        raise MediaError(field, text, hint="save it as PNG or JPEG") from error


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as the picture is meant to be seen: EXIF may turn it."""
    lying = image.getexif().get(ORIENTATION) in LYING
    return (image.height, image.width) if lying else image.size


def open_clip(path: Path) -> InputContainer:
    """A container whose decoders refuse frames beyond the budget; FFmpegError or ValueError where it is none."""
    container = _open(path, CLIPS)
    for stream in container.streams.video:
        # Said to the decoder too: a header may lie, and a frame's size is known only once it is decoded.
        stream.codec_context.options = {"max_pixels": str(BUDGETS.frame_pixels)}
    return container


def open_sound(path: Path) -> InputContainer:
    """A container that may hold a sound track; FFmpegError or ValueError where it is none."""
    return _open(path, SOUNDS)


def packets(container: InputContainer, *tracks: Stream) -> Iterator[Packet]:
    """The packets of these tracks, or of all; those of a track that begins in the middle of the file are left out."""
    try:
        yield from container.demux(*tracks)
    except IndexError:  # PyAV 18.1 wants to flush such a track too, in the end, and does not know it
        return


def _open(path: Path, formats: str) -> InputContainer:
    return av.open(
        str(path.resolve()),  # a name like `concat:…` is a protocol to ffmpeg, an absolute path never is
        options={"format_whitelist": formats, "protocol_whitelist": "file"},
        metadata_errors="replace",
        timeout=float(BUDGETS.decode_seconds),
    )
