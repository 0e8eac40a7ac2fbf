"""A folder of files that work in between leaves behind: each whole, or not there.

A file's name ends in the hash of what is in it. So a damaged one is known and made anew, and two processes that
make the same at once either write the same file or leave two good ones.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from common.cache import used

Hold = Callable[[Path], object]
"""Keeps a file from the sweep as long as a job goes on; see common.cache.holding."""


class Shelf:
    """The files of one piece of work; they may vanish, or be made by another process, at any time.

    `hold` is told of each that is found or kept.
    """

    def __init__(self, folder: Path, hold: Hold = lambda _: None) -> None:
        self.folder, self.hold = folder, hold

    def find(self, name: str, index: int | None = None) -> Path | None:
        """The file of this name, and of this number in a series; None where there is none, or a damaged one."""
        for path in sorted(self.folder.glob(f"{_stem(name, index)}.*")):
            self.hold(path)  # before it is looked at: it may be old
            with suppress(OSError):
                if path.suffixes[0] == f".{_hash(path)}":
                    used(path)
                    return path
                path.unlink()
        return None

    def keep(self, name: str, index: int | None, kind: str, write: Callable[[Path], None]) -> Path:
        """What `write` writes, whole or not at all; `kind` is how the file's name ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".{secrets.token_hex(4)}.part"
        try:
            write(part)
            path = part.replace(self.folder / f"{_stem(name, index)}.{_hash(part)}{kind}")
            self.hold(path)
            return path
        finally:
            part.unlink(missing_ok=True)


def _stem(name: str, index: int | None) -> str:
    return name if index is None else f"{name}-{index:04}"


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
