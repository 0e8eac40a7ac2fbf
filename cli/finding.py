"""Finds files by what is in them: among those that were named, beside the one replayed, in this machine's cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from common import cache
from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import InputError, MediaError
from common.media import files

MOST_BESIDE = 1000
BYTES_BESIDE = 4_000_000_000
"""How many files of a folder are looked at, and how much of them is read, which takes some seconds."""
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif")
MEDIA = {*PICTURE_SUFFIXES, *files.VIDEO_SUFFIXES, *files.SOUND_SUFFIXES}


class Finder:
    """`named` are files that the user gave, `beside` is the folder of the file that is replayed.

    No file is found by a name that a recipe says; what is found has the hash that was asked for. InputError for a
    named file that cannot be read.
    """

    def __init__(self, named: Sequence[str], beside: Path) -> None:
        self._beside = beside
        self._digests: dict[Path, str] = {}
        self._named = {self._hash(_given(path)): Path(path) for path in named}
        self._used: set[str] = set()

    def find(self, digest: str) -> Path | None:
        """The file with this sha256 (64 hex digits); None where there is none."""
        if self.asked(digest):
            return self._named[digest]
        places = (self._kept(digest), self._neighbours(digest))
        return next((path for place in places for path in place if self._is(path, digest)), None)

    def asked(self, digest: str) -> bool:
        """Whether a named file is this one; from then on it counts as used."""
        self._used |= {digest} & set(self._named)
        return digest in self._named

    def unused(self) -> list[Path]:
        """Files that were named and not asked for."""
        return [path for digest, path in self._named.items() if digest not in self._used]

    def _kept(self, digest: str) -> Iterable[Path]:
        """A result's name ends in the beginning of its hash, and an upload's folder is its hash."""
        yield from _files(cache.root() / cache.RESULTS, f"*/*-{digest[:8]}.mp4")
        yield from _files(cache.root() / digest, "*")

    def _neighbours(self, digest: str) -> Iterable[Path]:
        found = [
            path for path in islice(_files(self._beside, "*"), MOST_BESIDE) if path.suffix.lower() in MEDIA
        ]
        left = BYTES_BESIDE
        for path in sorted(found, key=lambda path: (digest[:8] not in path.name, path.name)):
            if path not in self._digests and (left := left - _size(path)) < 0:
                return
            yield path

    def _is(self, path: Path, digest: str) -> bool:
        try:
            return _size(path) <= BUDGETS.upload_bytes and self._hash(path) == digest
        except OSError:  # gone meanwhile, or not ours to read
            return False

    def _hash(self, path: Path) -> str:
        if path not in self._digests:
            self._digests[path] = files.sha256(path)
        return self._digests[path]


def _files(folder: Path, pattern: str) -> Iterator[Path]:
    try:
        yield from (path for path in folder.glob(pattern) if path.is_file() and not path.name.startswith("."))
    except OSError:
        return


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # gone meanwhile
        return 0


def _given(path: str) -> Path:
    try:
        return files.local_file(MediaHandle(path=path or "."), "--input")
    except MediaError:
        raise
    except ValueError as error:  # pydantic's: a NUL, half a character
        raise InputError("--input", "is not a readable name", got=repr(path)) from error
