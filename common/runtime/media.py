"""Opens pictures and clips that users hand in; every failure is a MediaError that names the input."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from PIL import Image, ImageOps, UnidentifiedImageError

from common.contract import ImageFrom, MediaHandle
from common.errors import MediaError

MAX_IMAGE_BYTES = 50_000_000
MAX_VIDEO_BYTES = 2_000_000_000
MAX_PIXELS = 64_000_000
ASPECT_TOLERANCE = 0.03

VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".m4v", ".avi")


class Fitted(NamedTuple):
    """A picture of exactly the asked size, and what was cut off to get there."""

    image: Image.Image
    notice: str | None


class Probe(NamedTuple):
    """A clip's measures; `frames` is counted or taken from the container."""

    width: int
    height: int
    fps: float
    frames: int
    seconds: float


# ---------------------------------------------------------------------- files


def local_file(handle: MediaHandle, field: str) -> Path:
    """The handle's file, checked to be there and to hold something."""
    if handle.path.startswith(("http://", "https://")):
        raise MediaError(field, "is a URL that was not fetched", hint="upload the file instead")
    path = Path(handle.path)
    name = handle.orig_name or path.name
    try:
        if not path.is_file():
            raise MediaError(field, f"has no file {name!r}", hint="it may have expired; upload it again")
        size = path.stat().st_size
    except (OSError, ValueError) as error:
        raise MediaError(field, f"cannot be read: {name!r}", hint="upload it again") from error
    if size == 0:
        raise MediaError(field, f"is an empty file: {name!r}", hint="upload it again")
    limit = MAX_VIDEO_BYTES if is_video(handle) else MAX_IMAGE_BYTES
    if size > limit:
        rule = f"must be at most {limit // 1_000_000} MB"
        raise MediaError(field, rule, got=f"{size / 1e6:.0f} MB", hint="try a smaller one")
    return path


def is_video(handle: MediaHandle) -> bool:
    """Whether the handle is a clip: by its mime type, else by the ending of its name."""
    mime = handle.mime or mimetypes.guess_type(handle.orig_name or handle.path)[0] or ""
    if mime:
        return mime.startswith("video/")
    return Path(handle.path).suffix.lower() in VIDEO_SUFFIXES


def sha256(path: Path) -> str:
    """The file's hash, by which lineage names parents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def measured(handle: MediaHandle, field: str) -> MediaHandle:
    """The handle with mime, size and hash filled in from the file itself."""
    path = local_file(handle, field)
    facts: dict[str, object] = {"sha256": sha256(path)}
    facts["mime"] = handle.mime or mimetypes.guess_type(handle.orig_name or path.name)[0] or ""
    if is_video(handle):
        probe = probe_clip(handle, field)
        facts |= probe._asdict()
    else:
        image = open_image(handle, field)
        facts |= {"width": image.width, "height": image.height}
    return handle.model_copy(update=facts)


# ---------------------------------------------------------------------- pictures


def open_frame(handle: MediaHandle, field: str, image_from: ImageFrom = "first") -> Image.Image:
    """What fills an image slot: the picture, or the chosen frame of a clip."""
    return frame_of(handle, field, image_from) if is_video(handle) else open_image(handle, field)


def open_image(handle: MediaHandle, field: str) -> Image.Image:
    """An upright RGB picture; transparency lies on white."""
    path = local_file(handle, field)
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_PIXELS:
                raise MediaError(
                    field,
                    f"must be at most {MAX_PIXELS // 1_000_000} megapixels",
                    got=f"{image.width}x{image.height}",
                    hint="scale it down",
                )
            image.load()
            upright = ImageOps.exif_transpose(image)
            if upright.has_transparency_data:
                rgba = upright.convert("RGBA")
                upright = Image.new("RGBA", rgba.size, "white")
                upright.alpha_composite(rgba)
            return upright.convert("RGB")
    except Image.DecompressionBombError as error:
        rule = f"must be at most {MAX_PIXELS // 1_000_000} megapixels"
        raise MediaError(field, rule, hint="scale it down") from error
    except MediaError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise MediaError(
            field,
            f"is not a readable picture: {handle.orig_name or path.name!r}",
            hint="save it as PNG or JPEG",
        ) from error


def fit(image: Image.Image, width: int, height: int, field: str = "image") -> Fitted:
    """Covers `width` x `height` and cuts the centre out; says so when the shapes differ visibly."""
    if image.size == (width, height):
        return Fitted(image, None)
    theirs, ours = image.width / image.height, width / height
    notice = None
    if abs(theirs / ours - 1) > ASPECT_TOLERANCE:
        lost = 1 - min(theirs / ours, ours / theirs)
        notice = (
            f"{field} is {image.width}x{image.height}; its centre was cut out for {width}x{height} "
            f"({lost:.0%} of it is lost)."
        )
    fitted = ImageOps.fit(image, (width, height), method=Image.Resampling.LANCZOS, centering=(0.5, 0.5))
    return Fitted(fitted, notice)


# ---------------------------------------------------------------------- clips


def probe_clip(handle: MediaHandle, field: str) -> Probe:
    """The measures of a clip, as it is meant to be seen."""
    with _opened(handle, field) as container:
        stream = container.streams.video[0]
        fps = float(stream.average_rate or stream.guessed_rate or 0)
        decoded = _decoded(container, handle, field)
        first = next(decoded, None)
        if first is None or not fps:
            raise _no_frames(field)
        frames = stream.frames or 1 + sum(1 for _ in decoded)
        width, height = _upright(first).size
        return Probe(width, height, round(fps, 3), frames, round(frames / fps, 3))


def frame_of(handle: MediaHandle, field: str, image_from: ImageFrom) -> Image.Image:
    """The first or last frame of a clip, or the one shown at so many seconds."""
    chosen: av.VideoFrame | None = None
    end = 0.0
    with _opened(handle, field) as container:
        rate = float(container.streams.video[0].average_rate or 16)
        for index, frame in enumerate(_decoded(container, handle, field)):
            start = index / rate
            end = (index + 1) / rate
            if isinstance(image_from, float | int) and start > image_from + 1e-6:
                break
            chosen = frame
            if image_from == "first":
                break
    if chosen is None:
        raise _no_frames(field)
    if isinstance(image_from, float | int) and image_from >= end + 1e-6:
        rule = f"must lie within the clip of {end:.2f} s"
        raise MediaError(f"{field}_from", rule, got=f"{image_from:g} s", hint="try last")
    return _upright(chosen)


def frames(handle: MediaHandle, field: str) -> Iterator[Image.Image]:
    """A clip's frames one by one, upright."""
    with _opened(handle, field) as container:
        for frame in _decoded(container, handle, field):
            yield _upright(frame)


def _upright(frame: av.VideoFrame) -> Image.Image:
    # A phone stores its clips lying on their side, and says so.
    image = frame.to_image()
    return image.rotate(frame.rotation, expand=True) if frame.rotation else image


def _no_frames(field: str) -> MediaError:
    return MediaError(field, "has no frames", hint="export it as mp4 (H.264)")


def _opened(handle: MediaHandle, field: str) -> InputContainer:
    path = local_file(handle, field)
    try:
        container = av.open(str(path))
    except (FFmpegError, ValueError) as error:
        raise _unreadable(handle, field) from error
    if not container.streams.video:
        container.close()
        raise MediaError(field, "has no picture track", hint="give a clip, not a sound")
    context = container.streams.video[0].codec_context
    if context.width * context.height > MAX_PIXELS:
        container.close()
        raise MediaError(field, f"must be at most {MAX_PIXELS // 1_000_000} megapixels a frame")
    return container


def _decoded(container: InputContainer, handle: MediaHandle, field: str) -> Iterator[av.VideoFrame]:
    try:
        yield from container.decode(video=0)
    except FFmpegError as error:
        raise _unreadable(handle, field) from error


def _unreadable(handle: MediaHandle, field: str) -> MediaError:
    name = handle.orig_name or Path(handle.path).name
    return MediaError(field, f"is not a readable clip: {name!r}", hint="export it as mp4 (H.264)")
