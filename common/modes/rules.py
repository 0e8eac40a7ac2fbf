"""Rules that every mode shares: each raises an InputError naming the input, the rule and the way out."""

from __future__ import annotations

from common.catalog import CLIP_LAW, Checkpoint, Resolution, Weights
from common.contract import MediaHandle
from common.errors import InputError, MediaError

MIN_SIDE = 128
MAX_GUIDANCE = 10.0
FLOW_SHIFTS = (0.1, 20.0)


def prompt(text: str) -> None:
    """A prompt must say something."""
    if not text.strip():
        raise InputError("prompt", "must not be empty", hint="describe what should be seen")


def between(field: str, value: float, low: float, high: float) -> None:
    """A number must lie in a closed range."""
    if not low <= value <= high:
        raise InputError(
            field,
            f"must be between {low:.10g} and {high:.10g}",
            got=f"{value:g}" if isinstance(value, float) else value,
        )


def frames(num_frames: int, checkpoint: Checkpoint) -> None:
    """A number of frames that the checkpoint makes."""
    law, most = checkpoint.law, checkpoint.max_frames
    if num_frames < 1 or num_frames > most:
        raise InputError("num_frames", f"must be between 1 and {most}", got=num_frames)
    if not law.allows(num_frames):
        below = law.below(num_frames)
        hint = f"try {below} or {min(below + law.step, most)}"
        raise InputError("num_frames", f"must be {law.words}", got=num_frames, hint=hint)


def clip(field: str, handle: MediaHandle) -> None:
    """What takes clips takes no picture; a GIF may be either, which opening it tells."""
    got = handle.media_type
    if got.startswith("image/") and got != "image/gif":
        raise MediaError(
            field, "must be a clip, and is a picture", got=got, hint="give a video, such as an mp4"
        )


def enough(have: int, wanted: int, field: str) -> None:
    """InputError where a clip has fewer frames than the video shall have."""
    if have < wanted:
        hint = f"try {CLIP_LAW.below(have)}"
        raise InputError("num_frames", f"must not exceed the {have} frames of {field}", got=wanted, hint=hint)


def size(resolution: Resolution, checkpoint: Checkpoint, weights: Weights) -> None:
    """A size must lie on the checkpoint's grid; under nano it must be one of the few that exist."""
    sizes = checkpoint.sizes(weights)
    offered = ", ".join(r.size for r in sizes)
    if weights == "nano":
        if resolution not in sizes:
            raise InputError(
                "width x height", "must be a Wan-Nano size", got=resolution.size, hint=f"try {offered}"
            )
        return
    grid = checkpoint.grid
    for side, value in (("width", resolution.width), ("height", resolution.height)):
        if value < MIN_SIDE:
            raise InputError(side, f"must be at least {MIN_SIDE}", got=value)
        if value % grid:
            below = value // grid * grid
            raise InputError(
                side,
                f"must be a multiple of {grid} for {checkpoint.name}",
                got=value,
                hint=f"try {below} or {below + grid}",
            )
    most = max(r.area for r in sizes)
    if resolution.area > most:
        raise InputError(
            "width x height",
            f"must be at most {most} pixels for {checkpoint.name}",
            got=f"{resolution.size} = {resolution.area}",
            hint=f"try {offered}",
        )


def small_notices(resolution: Resolution, checkpoint: Checkpoint, weights: Weights) -> list[str]:
    """That a size is far below all that a checkpoint was trained for; nothing where it is not."""
    least = min(checkpoint.sizes(weights), key=lambda r: r.area)
    if resolution.area >= 0.75 * least.area:
        return []
    return [
        f"{resolution.size} is smaller than what {checkpoint.name} was trained for ({least.size}); "
        "the video may look worse than at that size."
    ]


VISIBLE_LOSS = 0.1
"""Of a picture: so much may be cut away without a word before it happens."""


def crop_notice(
    field: str, source: tuple[int, int], size: tuple[int, int], least: float = VISIBLE_LOSS
) -> str | None:
    """What is lost of a `source` (width, height) cut down to the shape of `size`; None up to a share of `least`."""
    theirs, ours = source[0] / source[1], size[0] / size[1]
    lost = 1 - min(theirs / ours, ours / theirs)
    if lost <= least:
        return None
    sizes = f"{source[0]}x{source[1]}; its centre is cut out for {size[0]}x{size[1]}"
    return f"{field} is {sizes} ({lost:.0%} of it is lost)."


def clip_length(clip: MediaHandle | None, fps: int) -> int | None:
    """Frames of a clip once it is resampled to `fps`; None while nobody has measured it."""
    if clip is None:
        return None
    if not clip.frames:
        return max(round(clip.seconds * fps), 1) if clip.seconds else None
    return max(round(clip.frames * fps / (clip.fps or fps)), 1)


def frames_of_clip(
    asked: int | None,
    clip: MediaHandle | None,
    checkpoint: Checkpoint,
    weights: Weights,
    *,
    field: str = "video",
) -> int:
    """Frames to make from a clip: as asked, else all of it that the model can make; never more than it has.

    diffusers crashes on a control video longer than num_frames, and takes a shorter one for the whole.
    """
    have = clip_length(clip, checkpoint.fps)
    most = min(checkpoint.max_frames, max(checkpoint.default_frames(weights), 1))
    if asked is None:
        return checkpoint.default_frames(weights) if have is None else checkpoint.law.below(min(have, most))
    if have is not None and asked > have:
        fits = checkpoint.law.below(have)
        raise InputError(
            "num_frames",
            f"must not exceed what {field} has: {have} frames at {checkpoint.fps} fps",
            got=asked,
            hint=f"try {fits} or leave it empty",
        )
    return asked


def clip_notices(field: str, clip: MediaHandle | None, num_frames: int, checkpoint: Checkpoint) -> list[str]:
    """What is dropped from a clip, said before it happens."""
    have = clip_length(clip, checkpoint.fps)
    if clip is None or have is None:
        return []
    notices: list[str] = []
    if clip.fps and abs(clip.fps - checkpoint.fps) > 0.5:
        notices.append(f"{field} is resampled from {clip.fps:g} to {checkpoint.fps} fps.")
    if have > num_frames:
        notices.append(f"{field} has {have} frames at {checkpoint.fps} fps; the first {num_frames} are used.")
    return notices
