"""Makes all that the model is given of a driving video, chunk by chunk: what is there already is not made again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from common.annotate import masks
from common.annotate.frames import Check, Frame, cover
from common.driving import background
from common.driving.kept import Driven, chunks
from common.driving.material import Material
from common.driving.performer import Performer, fault
from common.driving.progress import Counted
from common.errors import InputError
from common.media import lossless
from common.media.shelf import Shelf

VERSION = 2
"""Raise when something is drawn differently: it belongs into the name of the folder."""


def prepare(material: Material) -> Driven:
    """Pose and face, and in `replace` background and mask.

    `material.check` may raise at every frame: what is finished by then is found the next time.
    """
    return _Preparing(material).all()


@dataclass
class _About:
    """What was noticed while a chunk was made; it lies beside it."""

    notices: list[str] = field(default_factory=list)
    nobody: int = 0
    faceless: int = 0
    unmasked: int = 0
    """Frames of a mask that was given in which nothing is white."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


class _Preparing:
    def __init__(self, material: Material) -> None:
        self.m = material
        self.notices: list[str] = []
        self.unmasked: dict[int, int] = {}
        self.shelf = Shelf(material.folder, material.hold)
        steps = [
            *(["see"] if material.looks else []), *(["mask"] if "mask" in material.made else []), "draw"
        ]  # fmt: skip
        self.counted = Counted(chunks(material.count), steps, material.check)
        self.performer = Performer(material, self.shelf, self.counted, self._note)

    def all(self) -> Driven:
        """Chunk after chunk."""
        files: dict[str, list[Path]] = {part: [] for part in self.m.parts}
        abouts: list[_About] = []
        for index in range(len(self.counted.chunks)):
            found, about = self._chunk(index)
            abouts.append(about)
            for part in self.m.parts:
                files[part].append(found[part])
            self.counted.finish(index, *self.counted.steps)
        self._sum_up(abouts)
        m = self.m
        return Driven(
            m.folder, m.count, m.fps, {part: m.size_of(part) for part in m.parts}, files, self.notices
        )

    def _chunk(self, index: int) -> tuple[Mapping[str, Path], _About]:
        """The files of a chunk, and what was noticed of it; those that are not there are made."""
        found = {part: path for part in self.m.parts if (path := self.shelf.find(part, index))}
        known = self.shelf.find("about", index)  # the last that is written: without it the chunk is not whole
        about = _About(**json.loads(known.read_text())) if known else _About()
        for text in about.notices:
            self._note(text)
        missing = [part for part in self.m.parts if part not in found or not known]
        if not missing:
            return found, about
        said = len(self.notices)
        if self.m.made & {"pose", "mask"}:
            _ = self.performer.first  # a clip that shows nobody is refused before anything is drawn
        for place, part in enumerate(missing):
            told = self.counted.within("draw", index, place, len(missing))
            frames = self._right(part, index, self._part(part, index, found), told)
            found[part] = self.shelf.keep(part, index, ".mkv", partial(lossless.write, frames, self.m.fps))
        about = self._about(index, about, said)
        self.shelf.keep("about", index, ".json", about.write)
        return found, about

    def _about(self, index: int, before: _About, said: int) -> _About:
        """What was noticed, with what had been said when the chunk was made before."""
        for text in self.m.maker.notices if self.m.looks and self.m.maker else ():
            self._note(text)
        notices = [*before.notices, *self.notices[said:]]
        unmasked = self.unmasked.get(index, before.unmasked)
        if not self.m.looks:
            return _About(notices, unmasked=unmasked)
        nobody, faceless = self.performer.missing(index)
        return _About(notices, nobody, before.faceless if faceless is None else faceless, unmasked)

    def _part(self, part: str, index: int, found: Mapping[str, Path]) -> Iterable[Frame]:
        """A part's frames of a chunk, one by one."""
        if part in self.m.given:
            frames = self.m.given[part](self.counted.chunks[index])
            return self._split(index, frames) if part == "mask" else frames
        if part == "background":
            return self._scene(index, found["mask"])
        makers = {"pose": self.performer.poses, "face": self.performer.faces, "mask": self.performer.masks}
        return makers[part](index)

    def _split(self, index: int, frames: Iterable[Frame]) -> Iterator[Frame]:
        self.unmasked[index] = 0
        for frame in frames:
            mask = masks.hard(frame)
            self.unmasked[index] += mask.getbbox() is None
            yield mask

    def _scene(self, index: int, mask: Path) -> Iterator[Frame]:
        for frame, white in zip(self.performer.frames(index), lossless.read(mask), strict=True):
            yield background.without(cover(frame, *self.m.size), white)

    def _right(self, part: str, index: int, frames: Iterable[Frame], told: Check) -> Iterator[Frame]:
        """The frames, as many as there have to be and of the right size."""
        size, total, came = self.m.size_of(part), len(self.counted.chunks[index]), 0
        for frame in frames:
            told(came, total)
            if frame.size != size:
                raise fault(f"a {part} of {frame.width}x{frame.height} where {size[0]}x{size[1]} is needed")
            yield frame
            came += 1
        if came == total:
            return
        if part not in self.m.given:
            raise fault(f"{came} of {total} frames of the {part}")
        raise InputError(
            f"{part}_video",
            "must be as long as video",
            got=f"{self.counted.chunks[index].start + came} of {self.m.count} frames",
            hint="give a longer one, or leave it out and it is made",
        )

    # ------------------------------------------------------------------ what is said

    def _note(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)
            self.m.say(text)

    def _sum_up(self, abouts: Sequence[_About]) -> None:
        count, faces = self.m.count, "face" in self.m.made
        nobody, faceless = sum(about.nobody for about in abouts), sum(about.faceless for about in abouts)
        if sum(about.unmasked for about in abouts) == count:
            self._note("Nothing is white in mask_video: the scene stays as it is, and nobody is replaced.")
        if nobody:
            self._note(
                f"Nobody is seen in {nobody} of the {count} frames of video: there the model is on its own."
            )
        if faces and nobody + faceless == count:
            self._note(
                "No face is seen in video, so that nothing moves the character's: give face_video, or a clip that "
                "shows one."
            )
        elif faces and faceless:
            self._note(
                f"No face is seen in {faceless} of the {count} frames of video: it is looked for where it was seen "
                "last."
            )
