"""A video that begins with the clip it goes on from: how long the two become, and what that clip must be."""

from __future__ import annotations

from common.budgets import BUDGETS
from common.catalog import Resolution
from common.contract import Continued, MediaHandle
from common.errors import InputError
from common.modes import rules


def continued(
    slot: str, overlap: int, clip: MediaHandle | None, num_frames: int, fps: int, size: Resolution
) -> tuple[Continued, list[str]]:
    """What comes before the `num_frames` that the model makes, and what happens to it, in words.

    InputError for a picture, for a video that adds nothing, and for one that becomes too long.
    """
    if clip is None or (clip.media_type.startswith("image/") and clip.media_type != "image/gif"):
        got = clip.media_type if clip else None
        raise InputError("join", f"needs a clip as {slot}", got=got, hint="give a video, or leave join out")
    have = rules.clip_length(clip, fps)
    again = min(overlap, have or overlap)
    if num_frames <= again:
        rule = f"must be more than the {again} that are made again where clips are joined"
        raise InputError("num_frames", rule, got=num_frames, hint="try the model's own number")
    seconds = ((have or 0) - again + num_frames) / fps
    if seconds > BUDGETS.joined_seconds:
        rule = f"must not make a video longer than {BUDGETS.joined_seconds} s"
        hint = "try it without: only the new part is made then"
        raise InputError("join", rule, got=f"{seconds:.1f} s", hint=hint)
    found = Continued(slot=slot, frames=have or 0, overlap=again, has_audio=bool(clip.has_audio))
    return found, _changes(slot, clip, fps, size)


def _changes(slot: str, clip: MediaHandle, fps: int, size: Resolution) -> list[str]:
    said: list[str] = []
    if clip.fps and abs(clip.fps - fps) > 0.5:
        said.append(f"{slot} is resampled from {clip.fps:g} to {fps} fps.")
    if clip.width and clip.height and (clip.width, clip.height) != (size.width, size.height):
        said.append(f"{slot} is scaled from {clip.width}x{clip.height} to {size.size}.")
    return said
