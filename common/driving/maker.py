"""Who finds a performer in a driving video: the interface of all makers, and what those share that find bodies."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from common.annotate.frames import Check, Frame, Frames
from common.annotate.keypoints import Person
from common.driving import face, mask, retarget, skeleton


class Maker(Protocol):
    """Finds one performer in frames, and draws what the model is given of it.

    It is asked for some tens of frames at a time, in order; after a stop it may be asked from the middle on, so
    that nothing may hang on what an earlier call has seen, but for the sighting that it is handed. A sighting of
    None is handed to `masks` alone.
    """

    kept_as: type
    """The named tuple, of numbers and arrays, that its sightings are: so they are kept on disk."""
    remembers: bool
    """Whether it goes on with who was away for a whole chunk; else whoever is there then is looked for anew."""
    notices: list[str]
    """What it did that should be known: two people, limbs that nobody sees…"""

    def see(self, frames: Sequence[Frame], check: Check, after: Any = None) -> list[Any]:
        """One sighting a frame, in its pixels; None where nobody is there. `check(done, total)` before each.

        `after` is the last sighting before these frames: the same one is looked for, whoever else is there.
        """
        ...

    def pose(self, sighting: Any, size: tuple[int, int], seen_at: tuple[int, int]) -> Frame:
        """A picture on black of `size`; the sighting is in pixels of `seen_at`."""
        ...

    def face(self, frame: Frame, sighting: Any) -> Frame | None:
        """512x512 RGB of a frame, where the sighting (perhaps another frame's) has its face; None: it has none."""
        ...

    def masks(self, frames: Sequence[Frame], sightings: Sequence[Any], check: Check) -> Frames:
        """White where the performer is, grown as the model knows it; black where nobody was seen."""
        ...

    def retargeted(self, sightings: Sequence[Any], first: Any, reference: Any) -> list[Any]:
        """The sightings in the character's proportions, in the same pixels as `first` and `reference`."""
        ...


class BodyMaker(ABC):
    """What all makers share that find bodies: a sighting is a `Person`, drawn as Wan-Animate knows it.

    One who finds bodies writes `see` and `shapes`.
    """

    kept_as = Person
    remembers = False

    def __init__(self) -> None:
        self.notices: list[str] = []

    def note(self, text: str) -> None:
        """Something should be known; said once."""
        if text not in self.notices:
            self.notices.append(text)

    @abstractmethod
    def see(self, frames: Sequence[Frame], check: Check, after: Person | None = None) -> list[Person | None]:
        """One body a frame, that of `after` or the largest; None where nobody is there."""

    @abstractmethod
    def shapes(self, frames: Sequence[Frame], bodies: Sequence[Person | None], check: Check) -> Frames:
        """White where the performer is, to the pixel as well as it can; black where nobody was seen."""

    def pose(self, sighting: Person, size: tuple[int, int], seen_at: tuple[int, int]) -> Frame:
        """The stick figure."""
        return skeleton.drawn(sighting, size, seen_at)

    def face(self, frame: Frame, sighting: Person) -> Frame | None:
        """What lies in the box around the face."""
        box = face.box(sighting, frame.size)
        return None if box is None else face.cut(frame, box)

    def masks(self, frames: Sequence[Frame], sightings: Sequence[Person | None], check: Check) -> Frames:
        """The shapes, grown."""
        return [mask.grown(shape) for shape in self.shapes(frames, sightings, check)]

    def retargeted(
        self, sightings: Sequence[Person | None], first: Person, reference: Person
    ) -> list[Person | None]:
        """The bodies with the character's bones."""
        return retarget.retargeted(sightings, first, reference)


@dataclass(frozen=True)
class Means:
    """What a maker may use of this machine."""

    device: str = "cpu"
    download: bool = False
    say: Callable[[str], None] = lambda _: None
