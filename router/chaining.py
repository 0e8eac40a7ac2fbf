"""Send to: what a result may become in every other mode, each meaning spelled out here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from common.contract import MediaHandle, ModeKey
from common.modes import MODES

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


_FRAMES: Final[Mapping[FrameChoice, str]] = {
    "last": "continue from the last frame",
    "first": "start again from the first frame",
    "playhead": "start from the frame under the playhead",
}

_MEANINGS: Final[Mapping[ModeKey, tuple[Meaning, ...]]] = {
    "i2v": tuple(Meaning("i2v", "image", text, frame) for frame, text in _FRAMES.items()),
}


def inputs_of(meaning: Meaning) -> list[str]:
    """The components of the target's panel that a hand-over sets, in the order of `values_of`."""
    if meaning.frame is None:
        return [meaning.slot]
    return [f"{meaning.slot}_{part}" for part in ("source", "clip", "moment", "second")]


def values_of(meaning: Meaning, video: MediaHandle, playhead: float) -> list[Any]:
    """What those components are set to; the target Space takes the frame out of the clip itself."""
    if meaning.frame is None:
        return [video]
    moment = "at" if meaning.frame == "playhead" else meaning.frame
    return ["clip", video, moment, round(playhead, 3)]


def meanings(source: ModeKey) -> list[Meaning]:
    """What a result of `source` may become, over all built modes but itself, in the order of the sidebar."""
    return [m for key in MODES if key != source for m in _MEANINGS.get(key, ())]


def again(source: ModeKey) -> list[Meaning]:
    """What a result may become in its own mode, such as a clip that goes on."""
    return list(_MEANINGS.get(source, ()))
