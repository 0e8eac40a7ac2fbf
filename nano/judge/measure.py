"""Judges a clip by plain image measurement: where the shape is, which it is, what it does, on what."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nano.train.world import BACKGROUND_RGB, COLOUR_RGB
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES

Array = NDArray[np.floating]
NOT_FLOOR = 0.13
"""How far from every shade of the background a pixel must be to belong to a shape."""


@dataclass
class Seen:
    """What one clip shows; None where nothing could be told."""

    background: str | None
    colour: str | None
    shape: str | None
    motion: str | None
    x: Array
    y: Array
    area: Array
    masks: NDArray[np.bool_]


def _from_shades(pixels: Array, colour: Array, low: float, high: float) -> Array:
    """Distance of pixels to the nearest shade low…high of a colour."""
    shade = np.clip((pixels @ colour) / max(float(colour @ colour), 1e-4), low, high)
    return np.sqrt(((pixels - shade[..., None] * colour) ** 2).sum(-1))


def background_of(clip: Array) -> str | None:
    """The named background nearest to the clip's border, or None when none is near."""
    border = np.concatenate([clip[:, :6].reshape(-1, 3), clip[:, -6:].reshape(-1, 3)])
    border = np.concatenate([border, clip[:, :, :6].reshape(-1, 3), clip[:, :, -6:].reshape(-1, 3)])
    found = np.median(border, 0)
    gaps = np.sqrt(((found - np.array(BACKGROUND_RGB)) ** 2).sum(-1))
    return BACKGROUNDS[int(gaps.argmin())] if gaps.min() < 0.15 else None


def shape_masks(clip: Array, background: str | None) -> NDArray[np.bool_]:
    """The pixels that are no shade of the background, without specks."""
    import cv2

    if background is None:
        border = np.concatenate([clip[:, :6].reshape(-1, 3), clip[:, -6:].reshape(-1, 3)])
        floor = np.median(border, 0)
    else:
        floor = np.array(BACKGROUND_RGB[BACKGROUNDS.index(background)])
    raw = (_from_shades(clip, floor, 0.5, 1.18) > NOT_FLOOR).astype(np.uint8)
    masks = np.zeros(raw.shape, bool)
    for index, frame in enumerate(raw):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(frame)
        if count > 1:
            largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            if stats[largest, cv2.CC_STAT_AREA] >= 12:
                masks[index] = labels == largest
    return masks


def colour_of(clip: Array, masks: NDArray[np.bool_]) -> str | None:
    """The named colour nearest to the middle of the shape."""
    import cv2

    inner = np.stack([cv2.erode(m.astype(np.uint8), np.ones((3, 3), np.uint8)) for m in masks]).astype(bool)
    pixels = clip[inner if inner.sum() > 30 else masks]
    if len(pixels) == 0:
        return None
    middle = np.median(pixels, 0)[None]
    gaps = [float(_from_shades(middle, np.array(rgb), 0.75, 1.2)[0]) for rgb in COLOUR_RGB]
    return COLOURS[int(np.argmin(gaps))] if min(gaps) < 0.3 else None


def outline(mask: NDArray[np.bool_], bins: int = 72) -> Array:
    """How far the shape reaches in each direction from its centre, in units of its mean reach."""
    rows, columns = np.nonzero(mask)
    dy, dx = rows - rows.mean(), columns - columns.mean()
    angle = np.floor((np.arctan2(dy, dx) + np.pi) / (2 * np.pi) * bins).astype(int) % bins
    reach = np.zeros(bins)
    np.maximum.at(reach, angle, np.hypot(dx, dy))
    if (reach == 0).any():
        known = np.nonzero(reach)[0]
        reach = np.interp(np.arange(bins), known, reach[known], period=bins)
    return reach / max(reach.mean(), 1e-6)


def touches_border(mask: NDArray[np.bool_]) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def shape_of(masks: NDArray[np.bool_]) -> str | None:
    """By which rhythm the outline has: three corners, four, five points, or none."""
    whole = [m for m in masks if m.sum() >= 40 and not touches_border(m)]
    whole = whole or [m for m in masks if m.sum() >= 40]
    if not whole:
        return None
    rhythm = np.mean([np.abs(np.fft.rfft(outline(m)))[2:7] for m in whole], 0) / 72
    strongest = int(rhythm[1:4].argmax())
    if rhythm[1 + strongest] < 0.025:
        return SHAPES[0]
    return (SHAPES[2], SHAPES[1], SHAPES[3])[strongest]


def turning(masks: NDArray[np.bool_]) -> float:
    """Degrees that the outline turns over the clip."""
    total, last = 0.0, None
    for mask in masks:
        if mask.sum() < 40 or touches_border(mask):
            last = None
            continue
        now = outline(mask)
        if last is not None:
            scores = [float((np.roll(last, k) * now).sum()) for k in range(-5, 6)]
            best = int(np.argmax(scores)) - 5
            total += best * 5.0 if max(scores) - scores[5] > 0.02 * 72 / 36 else 0.0
        last = now
    return total


def motion_of(x: Array, y: Array, area: Array, masks: NDArray[np.bool_]) -> str | None:
    """Names the motion from the track (in half-heights), the area and the turning."""
    seen = np.nonzero(area > 0)[0]
    if len(seen) < 3:
        return None
    few = max(1, len(seen) // 6)
    first, last = seen[:few], seen[-few:]
    dx, dy = x[last].mean() - x[first].mean(), y[last].mean() - y[first].mean()
    ratio = area[last].mean() / area[first].mean()
    if max(abs(dx), abs(dy)) > 0.17:
        if abs(dx) > abs(dy):
            return MOTIONS[0] if dx < 0 else MOTIONS[1]
        return MOTIONS[2] if dy < 0 else MOTIONS[3]
    if ratio > 1.35 or ratio < 0.74:
        return MOTIONS[4] if ratio > 1 else MOTIONS[5]
    return MOTIONS[6] if abs(turning(masks)) > 60 else MOTIONS[7]


def look(clip: Array) -> Seen:
    """Everything about a clip [frames, height, width, 3] with values 0…1."""
    background = background_of(clip)
    masks = shape_masks(clip, background)
    frames, height, width = masks.shape
    x, y = np.full(frames, np.nan), np.full(frames, np.nan)
    area = masks.sum((1, 2)) / (height * width)
    for index, mask in enumerate(masks):
        if mask.any():
            rows, columns = np.nonzero(mask)
            x[index] = (columns.mean() / (width - 1) * 2 - 1) * width / height
            y[index] = rows.mean() / (height - 1) * 2 - 1
    return Seen(
        background, colour_of(clip, masks), shape_of(masks), motion_of(x, y, area, masks), x, y, area, masks
    )


def psnr(a: Array, b: Array) -> float:
    """Of two pictures or clips with values 0…1, in dB."""
    return float(10 * np.log10(1.0 / max(float(((a - b) ** 2).mean()), 1e-10)))
