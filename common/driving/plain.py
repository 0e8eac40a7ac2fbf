"""Keeps a driving video as it is, for a model that looks at it itself: long ones do not fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from common.annotate.frames import Check, Frame
from common.driving.kept import Driven, Read, chunks
from common.media import lossless
from common.media.shelf import Hold, Shelf

PART = "driving"


def keep(
    frames: Read, count: int, fps: int, size: tuple[int, int], folder: Path, check: Check, hold: Hold
) -> Driven:
    """The frames of `size` (width, height), chunk by chunk; those that are there are not read again."""
    shelf, files = Shelf(folder, hold), list[Path]()

    def counted(numbers: range) -> Iterator[Frame]:
        for number, frame in zip(numbers, frames(numbers), strict=True):
            check(number, count)
            yield frame

    for index, numbers in enumerate(chunks(count)):
        def write(path: Path, numbers: range = numbers) -> None:
            lossless.write(counted(numbers), fps, path)

        files.append(shelf.find(PART, index) or shelf.keep(PART, index, ".mkv", write))
    check(count, count)
    return Driven(folder, count, fps, {PART: size}, {PART: files})
