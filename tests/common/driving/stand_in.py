"""A clip whose frames tell their number, and a maker who reads it off and knows what everybody does when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from common.annotate.frames import Check, Frame, Frames, array, solid, watched
from common.annotate.keypoints import Person
from common.driving.makers import BodyMaker
from common.driving.material import Material
from tests.common.driving.bodies import STANDING, body, with_face

SIZE = (128, 224)
FACE = (90.0, 25.0, 110.0, 45.0)


def frame(number: int, size: tuple[int, int] = SIZE) -> Frame:
    """Of one colour: red and green are the number."""
    return Image.new("RGB", size, (number // 10, number % 10, 77))


def number_of(picture: Frame) -> int:
    red, green, _ = array(picture)[0, 0].tolist()
    return red * 10 + green


def clip(numbers: Sequence[int]) -> Iterator[Frame]:
    return (frame(number) for number in numbers)


class Known(BodyMaker):
    """Sees the standing body in every frame, a pixel lower every ten; but nobody in `away`, no face in `turned`."""

    def __init__(self, away: Sequence[int] = (), turned: Sequence[int] = ()) -> None:
        super().__init__()
        self.away, self.turned = set(away), set(turned)
        self.saw: list[int] = []

    def see(self, frames: Sequence[Frame], check: Check) -> list[Person | None]:
        return [self._one(picture) for picture in watched(frames, check)]

    def _one(self, picture: Frame) -> Person | None:
        number = number_of(picture)
        self.saw.append(number)
        if number in self.away:
            self.note("somebody was away")
            return None
        lower = number // 10
        person = body({row: (x - 40, y + lower) for row, (x, y) in STANDING.items()})
        if number in self.turned:
            return person
        left, top, right, bottom = FACE
        return with_face(person, left - 40, top + lower, right - 40, bottom + lower)

    def shapes(self, frames: Sequence[Frame], bodies: Sequence[Person | None], check: Check) -> Frames:
        return [
            self._shape(picture, person)
            for picture, person in zip(watched(frames, check), bodies, strict=True)
        ]

    def _shape(self, picture: Frame, person: Person | None) -> Frame:
        shape = solid(0, *picture.size)
        if person is not None:
            shape.paste((255, 255, 255), (40, 40, 80, 210))
        return shape


class Stopped(Exception):
    """Somebody has pressed Stop."""


@dataclass
class Watching:
    """A check that remembers what it is told, and stops once so much is done."""

    stop_at: int = 10**9
    told: list[tuple[int, int]] = field(default_factory=list)

    def __call__(self, done: int = 0, total: int = 0) -> None:
        if total:
            self.told.append((done, total))
        if done >= self.stop_at:
            raise Stopped


def material(folder: Path, count: int = 100, **changed: Any) -> Material:
    values: dict[str, Any] = {
        "count": count, "fps": 30, "width": SIZE[0], "height": SIZE[1], "frames": clip, "reference": frame(0),
        "replace": False, "retarget": False, "maker": Known(), "folder": folder,
    }  # fmt: skip
    return Material(**values | changed)
