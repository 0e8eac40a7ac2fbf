"""The performer of one driving clip: seen once a frame, remembered, and asked for its pose, face and outline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from typing import Any

from common.annotate import masks
from common.annotate.frames import BLACK, Frame, Frames, letterbox, solid
from common.driving import face, kept, sightings
from common.driving.maker import Maker
from common.driving.material import Material
from common.driving.progress import Counted
from common.driving.sightings import Seen
from common.errors import InputError, StudioError
from common.media.shelf import Shelf


class Performer:
    """What the maker sees is kept on the shelf. Only what is asked for is looked at, a chunk at a time."""

    def __init__(
        self, material: Material, shelf: Shelf, counted: Counted, note: Callable[[str], None]
    ) -> None:
        self.m, self.shelf, self.counted, self.note = material, shelf, counted, note
        self._seen: dict[int, Seen] = {}
        self._pictures: tuple[int, Frames] = (-1, [])
        self._has_face: dict[int, bool] = {}

    @property
    def maker(self) -> Maker:
        """Who looks."""
        if self.m.maker is None:
            raise ValueError(f"nobody was named who makes {', '.join(sorted(self.m.made))}")
        return self.m.maker

    def frames(self, index: int) -> Frames:
        """The driving frames of a chunk; the last one asked for is held."""
        if self._pictures[0] != index:
            self._pictures = (-1, [])  # not two of them at a time
            numbers = self.counted.chunks[index]
            frames = list(self.m.frames(numbers))
            if len(frames) != len(numbers):
                raise fault(f"{len(frames)} of {len(numbers)} frames of the driving video")
            self._pictures = (index, frames)
        return self._pictures[1]

    # ------------------------------------------------------------------ what the model is given

    def poses(self, index: int) -> Iterator[Frame]:
        """Drawn, in the character's proportions where that is asked for; black where nobody is."""
        seen = self._look(index)
        there = [sighting for sighting in seen.sightings if sighting is not None]
        if self.m.retarget and not self.m.replace and there and self._character is not None:
            there = self.maker.retargeted(there, self.first, self._character)
        bodies = iter(there)
        for sighting in seen.sightings:
            if sighting is None:
                yield solid(BLACK, *self.m.size)
            else:
                yield self.maker.pose(next(bodies), self.m.size, seen.size)

    def faces(self, index: int) -> Iterator[Frame]:
        """Each where it is, where it was seen last, or where it will be seen next; else black."""
        for place, number in enumerate(self.counted.chunks[index]):
            frame = self.frames(index)[place]  # asked for each time: to look for a face leads to other chunks
            yield self._face(number, frame) or solid(BLACK, face.SIDE, face.SIDE)

    def masks(self, index: int) -> Frames:
        """White where the performer is, at the output's size."""
        told = self.counted.within("mask", index)
        made = self.maker.masks(self.frames(index), self._look(index).sightings, told)
        self.counted.finish(index, "mask")
        return [masks.resized(mask, *self.m.size) for mask in made]

    def missing(self, index: int) -> tuple[int, int | None]:
        """In how many frames of a chunk nobody is seen, and somebody without a face (None: nobody has asked)."""
        nobody = sum(sighting is None for sighting in self._look(index).sightings)
        known = [self._has_face.get(number) for number in self.counted.chunks[index]]
        return nobody, None if None in known else known.count(False) - nobody

    @cached_property
    def first(self) -> Any:
        """Where the performer is first seen: InputError where nobody ever is."""
        for number in range(self.m.count):
            if (sighting := self._sighting(number)) is not None:
                return sighting
        own = " and ".join(f"{part}_video" for part in self.m.parts if part in self.m.made)
        raise InputError(
            "video",
            f"must show a performer: none was found in its {self.m.count} frames",
            hint=f"try another preprocessor, or give {own}",
        )

    # ------------------------------------------------------------------ who is seen

    def _look(self, index: int) -> Seen:
        """What was seen in a chunk, now or at another time."""
        if index not in self._seen:
            path = self.shelf.find("seen", index)
            seen = sightings.read(path, self.maker.kept_as) if path else self._see(index)
            for text in seen.notices:
                self.note(text)
            self._seen[index] = seen
            self.counted.finish(index, "see")
        return self._seen[index]

    def _see(self, index: int) -> Seen:
        before = self._last(index)
        frames, said = self.frames(index), len(self.maker.notices)
        found = self.maker.see(frames, self.counted.within("see", index), before)
        if len(found) != len(frames):
            raise fault(f"{len(found)} sightings for {len(frames)} frames")
        return self._kept("seen", index, Seen(found, frames[0].size, self.maker.notices[said:]))

    def _last(self, index: int) -> Any:
        """The last sighting before a chunk: where there are two people, the chunk goes on with this one."""
        for earlier in range(index - 1, -1, -1):
            for seen in reversed(self._look(earlier).sightings):
                if seen is not None:
                    return seen
            if not self.maker.remembers:
                break
        return None

    def _kept(self, name: str, index: int, seen: Seen) -> Seen:
        self.shelf.keep(name, index, ".npz", partial(sightings.write, seen))
        return seen

    def _sighting(self, number: int) -> Any:
        return self._look(number // kept.CHUNK).sightings[number % kept.CHUNK]

    def _face(self, number: int, frame: Frame) -> Frame | None:
        for other in chain([number], range(number - 1, -1, -1), range(number + 1, self.m.count)):
            if self._has_face.get(other) is False:
                continue
            sighting = self._sighting(other)
            found = None if sighting is None else self.maker.face(frame, sighting)
            self._has_face[other] = found is not None
            if found is not None:
                return found
        return None

    @cached_property
    def _character(self) -> Any:
        """The character on a canvas like the frames, as the pipeline will fit it; None where nobody is found."""
        path = self.shelf.find("character", 0)
        seen = sightings.read(path, self.maker.kept_as) if path else self._see_character()
        for text in seen.notices:
            self.note(text)
        return seen.sightings[0]

    def _see_character(self) -> Seen:
        size = self._look(0).size
        said = len(self.maker.notices)
        found: Sequence[Any] = self.maker.see([letterbox(self.m.reference, *size)], self.counted.look)
        del self.maker.notices[said:]  # a maker speaks of the driving video
        nobody = "Nobody is found in image: the movement keeps the performer's own proportions."
        return self._kept("character", 0, Seen(found, size, [] if found[0] is not None else [nobody]))


def fault(what: str) -> StudioError:
    """Something that no input explains."""
    return StudioError(
        f"preparing made {what}; this is a fault of Wan Studio: try another preprocessor, and please report it",
        title="The prepared videos do not fit",
    )
