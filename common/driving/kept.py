"""What was made of a driving video, on disk in chunks of frames: whole files, read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path

from av.error import FFmpegError

from common.annotate.frames import Check, Frame, Frames, array, unchecked, watched
from common.cache import used
from common.errors import StudioError
from common.media import lossless
from common.media.shelf import Shelf
from common.media.write import write_pictures

Read = Callable[[Sequence[int]], Iterator[Frame]]
"""Gives frames by their rising numbers."""
CHUNK = 40
"""Frames in a file: a little over a second of work that a stop may cost, and at 720p 110 MB in memory."""


def chunks(count: int) -> list[range]:
    """The numbers of the frames, chunk by chunk."""
    return [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]


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
        shelf = Shelf(self.folder)

        def write(path: Path) -> None:
            pictures = (array(frame) for frame in watched(self._read(name, range(self.count)), check))
            write_pictures(pictures, self.sizes[name], self.fps, path, None)

        return shelf.find(name) or shelf.keep(name, None, ".mp4", write)

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
