"""Reads clips at the frame rate of a model, frame by frame, so that a long one never lies in memory whole."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from common.contract import MediaHandle
from common.errors import InputError
from common.modes import rules
from common.runtime import media

Frame = Image.Image


def sampled(
    handle: MediaHandle,
    field: str,
    fps: int,
    most: int,
    each: Callable[[Frame], Frame] = lambda frame: frame,
    *,
    from_end: bool = False,
) -> list[Frame]:
    """At most `most` frames at `fps`, the nearest of the clip's own; `each` is applied as they are read.

    The first ones, or with `from_end` the last.
    """
    probe = media.probe_clip(handle, field)
    known = handle.model_copy(update={"frames": probe.frames, "fps": probe.fps})
    total = rules.clip_length(known, fps) or 1
    start = max(total - most, 0) if from_end else 0
    wanted = range(start, min(start + most, total))
    step = probe.fps / fps
    frames: list[Frame] = []
    last: Frame | None = None
    for index, frame in enumerate(media.frames(handle, field)):
        if len(frames) == len(wanted):
            break
        last = frame
        while len(frames) < len(wanted) and round(wanted[len(frames)] * step) <= index:
            frames.append(each(frame))
    while last is not None and len(frames) < len(wanted):  # rounding past the end, or a container that lies
        frames.append(each(last))
    return frames


def exactly(frames: list[Frame], count: int, field: str) -> list[Frame]:
    """The first `count` frames; InputError where there are fewer."""
    if len(frames) < count:
        fits = rules.nearest_frames(len(frames), count)[0]
        raise InputError(
            "num_frames",
            f"must not exceed the {len(frames)} frames of {field}",
            got=count,
            hint=f"try {fits}",
        )
    return frames[:count]
