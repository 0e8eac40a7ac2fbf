"""The tracker of nano's world: which shape moves over the plain background, where, how large and how turned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import BLACK, WHITE, Check, Frame, Frames, array, picture, solid, watched
from common.driving.outline_fit import Bool, Fit, best_fit, fitted, overlap
from common.errors import InputError
from nano.figure import FACE, drawn, reach
from nano.outlines import OUTLINES, TURNS

Picture = NDArray[np.float32]

_SHORT = 64  # pixels of the shorter side that is looked at: enough for half a pixel of nano's 128
_SHADES = 0.5, 1.18  # of the background: from its shadow to the light towards the top
_NOT_FLOOR = 0.13
_PLAIN = 0.6  # least share of the border that is background
_ALIKE = 0.75  # least overlap of what is seen and the shape that it is taken for
_LEAST = 0.0012  # of the picture: less is a speck
_ANOTHER = 0.3  # of the largest: a second shape, and no shadow or speck
_LOOKS = 5  # frames that decide which shape it is
_ENTERED = 2  # times as much is seen as at first: it is coming into the picture
_SURE, _LOST = 0.04, 0.15  # of the shape: a fit so far off is tried from other angles, and made anew
_TURN = 0.2  # radians in which a turn may begin or end between two frames
_GROWN = 1.1
_FACE_SIZE = 512


class Sighting(NamedTuple):
    """A shape in pixels of its frame; the angle is 0 upright and grows clockwise.

    The rest is what the next frame's is looked for by: the turn since the one before, which of OUTLINES it is, and
    whether that was told by a whole one or only by what the picture's edge left of it.
    """

    x: float
    y: float
    radius: float
    angle: float
    turning: float = 0.0
    shape: int = 0
    whole: bool = False


class Nano:
    """Follows the largest shape and draws its figure: a disc with a hand."""

    kept_as = Sighting
    remembers = True

    def __init__(self, means: Any = None) -> None:
        del means  # it needs nothing of a machine
        self.notices: list[str] = []

    def see(
        self, frames: Sequence[Frame], check: Check, after: Sighting | None = None
    ) -> list[Sighting | None]:
        """One sighting a frame, None where there is no shape; InputError for clips that are not nano's world.

        A single picture may be the character's, which may look as it likes. A plain background may be empty: the
        shape may come later.
        """
        masks = self._masks(frames)
        if masks is None:  # a later chunk may be of another scene
            if len(frames) > 1 and after is None:
                raise _not_ours()
            return [None for _ in frames]
        shape, whole = _known(masks, after)
        if shape is None:
            if len(frames) > 1 and (whole or not _entering(masks)):
                raise _not_ours()
            return [None for _ in frames]
        last = after if after is not None and after.shape == shape else None
        sightings: list[Sighting | None] = []
        for frame, mask in zip(watched(frames, check), masks, strict=True):
            seen = None if mask is None else _followed(shape, mask, last, frame.size)._replace(whole=whole)
            sightings.append(seen)
            last = seen or last
        return sightings

    def _masks(self, frames: Sequence[Frame]) -> list[Bool | None] | None:
        """What is no background in each frame; None where there is no plain background."""
        small = [_small(frame) for frame in frames]
        floor = _floor(small)
        if floor is None:
            return None
        found = [_parts(s, floor) for s in small]
        if any(len(parts) > 1 for parts in found):
            self.note("The driving video shows more than one shape: the largest is followed.")
        return [parts[0] if parts else None for parts in found]

    def note(self, text: str) -> None:
        """Something should be known; said once."""
        if text not in self.notices:
            self.notices.append(text)

    def pose(self, sighting: Sighting, size: tuple[int, int], seen_at: tuple[int, int]) -> Frame:
        """The figure, on black."""
        across, down = size[0] / seen_at[0], size[1] / seen_at[1]
        x, y = (sighting.x + 0.5) * across - 0.5, (sighting.y + 0.5) * down - 0.5
        return picture(drawn(x, y, sighting.radius * down, sighting.angle, size))

    def face(self, frame: Frame, sighting: Sighting) -> Frame | None:
        """The square around the shape; what lies beyond the frame is as its edge."""
        half = FACE * sighting.radius
        scale = 2 * half / (_FACE_SIZE - 1)
        back = np.array([[scale, 0, sighting.x - half], [0, scale, sighting.y - half]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return picture(
            cv2.warpAffine(
                array(frame), back, (_FACE_SIZE, _FACE_SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE
            )
        )

    def masks(self, frames: Sequence[Frame], sightings: Sequence[Sighting | None], check: Check) -> Frames:
        """A white box around the shape and its shadow, with room for any other of its size."""
        return [
            solid(BLACK, *frame.size) if seen is None else _box(seen, frame.size)
            for frame, seen in zip(watched(frames, check), sightings, strict=True)
        ]

    def retargeted(
        self, sightings: Sequence[Sighting | None], first: Sighting, reference: Sighting
    ) -> list[Sighting | None]:
        """As they are: a shape has no bones."""
        del first, reference
        return list(sightings)


def _small(frame: Frame) -> Picture:
    """In few pixels, 0…1."""
    scale = _SHORT / min(frame.size)
    size = round(frame.width * scale), round(frame.height * scale)
    pixels = cv2.resize(array(frame), size, interpolation=cv2.INTER_AREA)
    return pixels.astype(np.float32) / np.float32(WHITE)


def _floor(frames: Sequence[Picture]) -> Picture | None:
    """The background's colour: what the frames' edges mostly show. None where they show many."""
    edges = np.concatenate(
        [
            side.reshape(-1, 3)
            for frame in frames
            for side in (frame[:4], frame[-4:], frame[:, :4], frame[:, -4:])
        ]
    )
    floor = np.median(edges, 0).astype(np.float32)
    return floor if (_off(edges, floor) < _NOT_FLOOR).mean() >= _PLAIN else None


def _off(pixels: Picture, floor: Picture) -> Picture:
    """How far pixels are from every shade of the background."""
    shade = np.clip(pixels @ floor / max(float(floor @ floor), 1e-4), *_SHADES)
    return np.sqrt(((pixels - shade[..., None] * floor) ** 2).sum(-1)).astype(np.float32)


def _parts(frame: Picture, floor: Picture) -> list[Bool]:
    """What is no background, the largest first, without specks."""
    off = _off(frame, floor)
    raw = (off > _NOT_FLOOR).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(raw)
    areas = stats[:, cv2.CC_STAT_AREA]
    order = sorted(range(1, count), key=lambda label: -areas[label])
    least = max(_LEAST * raw.size, _ANOTHER * (areas[order[0]] if order else 0))
    parts = [labels == label for label in order if areas[label] >= least]
    # To the middle of its soft edge.
    return [part & (off > 0.5 * np.median(off[part])) for part in parts]


def _known(masks: Sequence[Bool | None], after: Sighting | None) -> tuple[int | None, bool]:
    """Which shape it is, None for none of nano's or nothing yet; and whether a whole one was there to tell it by."""
    if after is not None and after.whole:
        return after.shape, True
    seen = [mask for mask in masks if mask is not None]
    if inner := [mask for mask in seen if not _cut(mask)]:
        return _shape(inner), True
    most = max((mask.sum() for mask in seen), default=0)
    shape = _shape([mask for mask in seen if 2 * mask.sum() >= most])
    return (after.shape if shape is None and after is not None else shape), False


def _cut(mask: Bool) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def _entering(masks: Sequence[Bool | None]) -> bool:
    """Whether nothing is there, or more and more: what it is will be seen later."""
    areas = [0 if mask is None else int(mask.sum()) for mask in masks]
    return max(areas) >= _ENTERED * areas[0]


def _shape(masks: Sequence[Bool]) -> int | None:
    """Which of nano's shapes the masks show; None for none of them."""
    if not masks:
        return None
    looks = [masks[i] for i in sorted({round(i) for i in np.linspace(0, len(masks) - 1, _LOOKS)})]
    fits = [[best_fit(shape, mask) for mask in looks] for shape in range(len(OUTLINES))]
    best = int(np.argmin([sum(fit.error for fit in some) for some in fits]))
    alike = np.median([overlap(best, mask, fit) for mask, fit in zip(looks, fits[best], strict=True)])
    return best if alike >= _ALIKE else None


def _followed(shape: int, mask: Bool, last: Sighting | None, size: tuple[int, int]) -> Sighting:
    """The shape in the next frame of `size`, turned on from the last angle by less than what would look the same."""
    scale = min(size) / _SHORT  # pixels of the frame in one of the mask
    if last is None:
        fit = best_fit(shape, mask)
        angle, turning = fit.angle, 0.0
    else:
        x, y = (last.x + 0.5) / scale - 0.5, (last.y + 0.5) / scale - 0.5
        fit = _near(shape, mask, Fit(x, y, last.radius / scale, last.angle + last.turning, math.inf))
        turning = math.remainder(fit.angle - last.angle, TURNS[shape]) if TURNS[shape] else 0.0
        angle = last.angle + turning
    x, y = (fit.x + 0.5) * scale - 0.5, (fit.y + 0.5) * scale - 0.5
    return Sighting(x, y, fit.radius * scale, angle, turning, shape)


def _near(shape: int, mask: Bool, start: Fit) -> Fit:
    """The fit from where the shape should be; if it is far off, from other angles or anew."""
    now = fitted(shape, mask, start)
    if now.error > _SURE and TURNS[shape]:
        either = (start._replace(angle=start.angle + by) for by in (-_TURN, _TURN))
        now = min(now, *(fitted(shape, mask, at) for at in either), key=lambda fit: fit.error)
    if now.error <= _LOST:
        return now
    return min(now, best_fit(shape, mask), key=lambda fit: fit.error)


def _box(seen: Sighting, size: tuple[int, int]) -> Frame:
    half = _GROWN * reach(seen.radius, size[1])
    values = np.zeros((size[1], size[0]), np.uint8)
    left, top = max(round(seen.x - half), 0), max(round(seen.y - half), 0)
    values[top : max(round(seen.y + half) + 1, 0), left : max(round(seen.x + half) + 1, 0)] = WHITE
    return picture(values)


def _not_ours() -> InputError:
    return InputError(
        "video",
        "must show one of nano's shapes on a plain background",
        hint="use the red circle example, or start with --weights wan",
    )
