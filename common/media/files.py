"""Finds the files that users hand in; every failure is a MediaError that names the input."""

from __future__ import annotations

import hashlib
from pathlib import Path

from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError

VIDEO_SUFFIXES = (".mp4", ".mov", ".webm", ".mkv", ".m4v", ".avi")
SOUND_SUFFIXES = (".wav", ".mp3", ".m4a", ".ogg", ".opus", ".flac", ".aac", ".weba", ".mka", ".aiff", ".caf")


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
    limit = BUDGETS.upload_bytes if is_video(handle) or is_sound(handle) else BUDGETS.image_bytes
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
    return _is(handle, "video/", VIDEO_SUFFIXES)


def is_sound(handle: MediaHandle) -> bool:
    """Whether the handle is a sound, in the same way; what a browser's microphone made may call itself a clip."""
    return _is(handle, "audio/", SOUND_SUFFIXES)


def _is(handle: MediaHandle, kind: str, suffixes: tuple[str, ...]) -> bool:
    if handle.media_type:
        return handle.media_type.startswith(kind)
    return Path(handle.path).suffix.lower() in suffixes


def sha256(path: Path) -> str:
    """The file's hash, by which lineage names parents."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
