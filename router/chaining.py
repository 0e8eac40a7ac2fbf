"""Send to: what a result may become in every other mode, each meaning spelled out here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from common.contract import MediaHandle, ModeKey
from common.modes.all import MODES

FrameChoice = Literal["first", "last", "playhead"]


@dataclass(frozen=True)
class Meaning:
    """A result put into one input of a mode. `frame` picks a frame of the clip for an image slot.

    `playhead` becomes seconds in `image_from`: the target Space extracts the frame; the router opens no
    video.
    """

    target: ModeKey
    slot: str
    label: str
    frame: FrameChoice | None = None
    also: tuple[tuple[str, str], ...] = ()
    """Other components that are set with it, such as a sub-mode."""
    not_from: ModeKey | None = None
    """The mode whose results this leads nowhere for."""

    @property
    def key(self) -> str:
        """Its name among all meanings."""
        return "-".join((self.target, self.slot, self.frame or "", *(value for _, value in self.also)))


_FRAMES: Final[Mapping[FrameChoice, str]] = {
    "last": "continue from the last frame",
    "first": "start again from the first frame",
    "playhead": "start from the frame under the playhead",
}

_MEANINGS: Final[Mapping[ModeKey, tuple[Meaning, ...]]] = {
    # A clip of I2V has its picture as the first frame: starting there again leads nowhere.
    "i2v": tuple(
        Meaning("i2v", "image", text, frame, not_from="i2v" if frame == "first" else None)
        for frame, text in _FRAMES.items()
    ),
    "flf2v": (
        Meaning("flf2v", "image", "go on from the last frame", "last"),
        Meaning("flf2v", "last_image", "lead up to the first frame", "first"),
    ),
    "v2v": (Meaning("v2v", "video", "restyle"),),
    "vace": (
        Meaning("vace", "video", "repaint a part", also=(("submode", "inpainting_mask"),)),
        Meaning("vace", "video", "go on from its end", also=(("submode", "firstclip"),)),
    ),
    "s2v": (
        Meaning("s2v", "image", "last frame as speaker", "last"),
        Meaning("s2v", "image", "frame under the playhead as speaker", "playhead"),
    ),
    "animate": (
        Meaning("animate", "video", "drive a character"),
        Meaning("animate", "image", "last frame as character", "last"),
        Meaning("animate", "image", "first frame as character", "first"),
        Meaning("animate", "image", "frame under the playhead as character", "playhead"),
    ),
}


def inputs_of(meaning: Meaning) -> list[str]:
    """The components of the target's panel that a hand-over sets, in the order of `values_of`."""
    also = [name for name, _ in meaning.also]
    if meaning.frame is None:
        return [meaning.slot, *also]
    return [*(f"{meaning.slot}_{part}" for part in ("source", "clip", "moment", "second")), *also]


def values_of(meaning: Meaning, video: MediaHandle, playhead: float) -> list[Any]:
    """What those components are set to; the target Space takes the frame out of the clip itself."""
    also = [value for _, value in meaning.also]
    if meaning.frame is None:
        return [video, *also]
    moment = "at" if meaning.frame == "playhead" else meaning.frame
    return ["clip", video, moment, round(playhead, 3), *also]


def every() -> list[Meaning]:
    """What any result may become, in the order of the sidebar."""
    return [meaning for key in MODES for meaning in _MEANINGS.get(key, ())]


def meanings(source: ModeKey) -> list[Meaning]:
    """What a result of `source` may become, in its own mode too, in the order of the sidebar."""
    return [meaning for meaning in every() if meaning.not_from != source]
