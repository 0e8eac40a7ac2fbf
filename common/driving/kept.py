"""What was made of a driving video, on disk in chunks of frames: whole files, read when they are needed.

A file's name ends in the hash of what is in it. So a damaged one is known and made anew, and two processes that
make the same chunk at once either write the same file or leave two good ones.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

from av.error import FFmpegError

from common.annotate.frames import Check, Frame, Frames, array, unchecked, watched
from common.cache import used
from common.errors import StudioError
from common.media import lossless
from common.media.write import write_pictures

CHUNK = 40
"""Frames in a file: a little over a second of work that a stop may cost, and at 720p 110 MB in memory."""


def chunks(count: int) -> list[range]:
    """The numbers of the frames, chunk by chunk."""
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


class Shelf:
    """The folder of one driving video; it may vanish, or be filled by another process, at any time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, name: str, index: int) -> Path | None:
        """The file of a chunk; None where there is none, or only a damaged one."""
        for path in sorted(self.folder.glob(f"{name}-{index:04}.*")):
            with suppress(OSError):
                if path.suffixes[0] == f".{_hash(path)}":
                    used(path)
                    return path
                path.unlink()
        return None

    def keep(self, name: str, index: int, kind: str, write: Callable[[Path], None]) -> Path:
        """What `write` writes, whole or not at all, as the file of a chunk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{secrets.token_hex(4)}.part"
        try:
            write(part)
            return part.replace(self.folder / f"{name}-{index:04}.{_hash(part)}{kind}")
        finally:
            part.unlink(missing_ok=True)


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


@dataclass(frozen=True)
class Driven:
    """What the model is given of a driving video: the width and height of each part, and its chunks in order."""

    folder: Path
    count: int
    fps: int
    sizes: Mapping[str, tuple[int, int]]
    files: Mapping[str, Sequence[Path]]
    notices: Sequence[str] = field(default_factory=list)

    def frames(self, name: str, numbers: Sequence[int]) -> Frames:
        """The frames of these numbers of "pose" or "face", and in replace of "background" or "mask"."""
        return list(self._read(name, numbers))

    def clip(self, name: str, check: Check = unchecked) -> Path:
        """A part as an mp4 to look at, made when it is first asked for."""
        path = self.folder / f"{name}.mp4"
        if not path.is_file():
            numbers = range(self.count)
            pictures = (array(frame) for frame in watched(self._read(name, numbers), check))
            write_pictures(pictures, self.sizes[name], self.fps, path, None)
        used(path)
        return path

    def _read(self, name: str, numbers: Sequence[int]) -> Iterator[Frame]:
        """One chunk after the other, and of each no more than what is asked for."""
        for index, group in groupby(numbers, lambda number: number // CHUNK):
            places = [number % CHUNK for number in group]
            path, wanted = self.files[name][index], set(places)
            used(path)
            try:
                read = enumerate(islice(lossless.read(path), max(places) + 1))
                found = {place: frame for place, frame in read if place in wanted}
                chunk = [found[place] for place in places]
            except (OSError, FFmpegError, KeyError) as error:
                raise StudioError(
                    f"a piece of the prepared {name} video was deleted or damaged meanwhile; start again: the rest "
                    "is kept, and only that piece is made anew",
                    title="A prepared video is gone",
                ) from error
            yield from chunk
