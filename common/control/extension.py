"""Extension: known frames stay, gray stands for those to come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from common.annotate.frames import BLACK, GRAY, WHITE, Control, Frame, Frames, repeated, solid


def extended(begin: Frames, end: Frames, count: int) -> Control:
    """`begin`, then gray, then `end`: `count` frames in all, at least one of them gray."""
    known = begin or end
    width, height = known[0].size
    missing = count - len(begin) - len(end)
    if missing < 1:
        raise ValueError(f"{len(begin)} + {len(end)} known frames leave nothing of {count} to make")
    return Control(
        [*begin, *repeated(GRAY, missing, width, height), *end],
        [
            *repeated(BLACK, len(begin), width, height),
            *repeated(WHITE, missing, width, height),
            *repeated(BLACK, len(end), width, height),
        ],
    )


def placed(pictures: Mapping[int, Frame], count: int) -> Control:
    """Pictures as the frames of these numbers, gray for the rest of `count`."""
    width, height = next(iter(pictures.values())).size
    return Control(
        [pictures.get(i) or solid(GRAY, width, height) for i in range(count)],
        [solid(BLACK if i in pictures else WHITE, width, height) for i in range(count)],
    )


def keyframes(frames: Frames, keep: Iterable[int]) -> Control:
    """Keeps the frames of these numbers, gray for the rest."""
    return placed({i: frames[i] for i in keep}, len(frames))


def default_keyframes(count: int) -> list[int]:
    """First, middle and last."""
    return sorted({0, count // 2, count - 1})
