"""What a performance is made of: the driving clip, the character, and whatever the user has made already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.annotate.frames import Check, Frame, unchecked
from common.driving import face
from common.driving.kept import Read
from common.driving.maker import Maker
from common.media.shelf import Hold

PARTS = ("mask", "background", "pose", "face")
"""In the order of their making: a background needs its mask."""
ALWAYS = ("pose", "face")


@dataclass(frozen=True)
class Material:
    """Everything that a performance is made of.

    `frames` gives the driving clip by frame numbers, cut to the output's aspect and no smaller than it. `given` are
    the user's own "pose", "face", "background" and "mask", of the output's size (a face of 512x512); what is given
    is not made, and where nothing is left that needs somebody to look, `maker` may be None. `folder` is named by
    the caller after all of this, and `hold` keeps what lies in it from the sweep.
    """

    count: int
    fps: int
    width: int
    height: int
    frames: Read
    reference: Frame
    replace: bool
    retarget: bool
    maker: Maker | None
    folder: Path
    given: Mapping[str, Read] = field(default_factory=dict)
    say: Callable[[str], None] = lambda _: None
    check: Check = unchecked
    hold: Hold = lambda _: None

    @property
    def parts(self) -> tuple[str, ...]:
        """What the model is given: in `replace` the scene too."""
        return PARTS if self.replace else ALWAYS

    @property
    def made(self) -> set[str]:
        """What is not given."""
        return set(self.parts) - set(self.given)

    @property
    def looks(self) -> bool:
        """Whether somebody has to look at the clip: a background is made of its mask alone."""
        return bool(self.made - {"background"})

    @property
    def size(self) -> tuple[int, int]:
        """Of the output."""
        return self.width, self.height

    def size_of(self, part: str) -> tuple[int, int]:
        """Width and height of a part."""
        return (face.SIDE, face.SIDE) if part == "face" else self.size
