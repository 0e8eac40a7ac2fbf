"""What a finished clip is taken along as: its first or last frame, an animated GIF, a sheet of its frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

from PIL import Image, ImageDraw, ImageFont

from common import cache
from common.budgets import BUDGETS
from common.media.clips import Clip
from common.media.pictures import Size
from common.media.watch import Watch

Kind = Literal["gif", "last", "sheet"]
FIELD = "video"
GIF_WIDTH = 480
GIF_FPS = 25.0
"""Browsers play a frame that is shorter than 20 ms as if it were 100."""
THUMBNAIL_WIDTH = 400
COLUMNS, ROWS, CELL_WIDTH, GAP = 4, 3, 320, 8
PALETTE_FROM = 16
"""Frames whose colours the one palette of a GIF is made of: one for each frame would flicker."""


def gif(source: Path, target: Path) -> None:
    """All of the clip, at most 480 pixels wide, 25 frames a second and `export_frames` long.

    MediaError for a file that is no clip, or beyond the limits.
    """
    with closing(_clip(source)) as clip:
        size = _within(clip.size, GIF_WIDTH)
        numbers = _spread(clip.count, min(clip.count, BUDGETS.export_frames, int(clip.seconds * GIF_FPS) + 1))
        frames = [picture.resize(size, Image.Resampling.LANCZOS) for picture in clip.pictures(numbers, size)]
        ends = [*(clip.times[n] for n in numbers[1:]), clip.seconds]
    palette = _palette([frames[n] for n in _spread(len(frames), min(len(frames), PALETTE_FROM))])
    drawn = [frame.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for frame in frames]
    with cache.whole(target) as part:
        drawn[0].save(
            part, "GIF", save_all=True, append_images=drawn[1:], duration=_durations(ends), loop=0, optimize=False
        )  # fmt: skip


def last(source: Path, target: Path) -> None:
    """The very last frame, pixel by pixel, as PNG: what a clip is gone on from."""
    with closing(_clip(source)) as clip:
        _png(next(iter(clip.pictures([clip.count - 1]))), target)


def sheet(source: Path, target: Path) -> None:
    """Up to twelve frames from first to last, in a grid with their times, as PNG."""
    with closing(_clip(source)) as clip:
        width, height = _within(clip.size, CELL_WIDTH)
        numbers = _spread(clip.count, min(clip.count, COLUMNS * ROWS))
        columns = min(COLUMNS, len(numbers))
        rows = -(-len(numbers) // columns)
        whole = (columns * (width + GAP) + GAP, rows * (height + GAP) + GAP)
        page = Image.new("RGB", whole, "#0b0e14")
        pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
        for place, picture in enumerate(clip.pictures(numbers, (width, height))):
            left = GAP + place % columns * (width + GAP)
            top = GAP + place // columns * (height + GAP)
            page.paste(picture.resize((width, height), Image.Resampling.LANCZOS), (left, top))
            text = f"{clip.times[numbers[place]]:.2f} s"
            box = pen.textbbox((left + 8, top + 6), text, font=font)
            pen.rectangle((box[0] - 4, box[1] - 3, box[2] + 4, box[3] + 3), fill="#0b0e14")
            pen.text((left + 8, top + 6), text, fill="white", font=font)
    _png(page, target)


def thumbnail(source: Path, target: Path) -> None:
    """The first frame, at most 400 pixels wide, as WEBP."""
    with closing(_clip(source)) as clip:
        size = _within(clip.size, THUMBNAIL_WIDTH)
        first = next(iter(clip.pictures([0], size))).resize(size, Image.Resampling.LANCZOS)
    with cache.whole(target) as part:
        first.save(part, "WEBP", quality=80)


EXPORTS: Final[Mapping[Kind, tuple[Callable[[Path, Path], None], str]]] = {
    "gif": (gif, ".gif"),
    "last": (last, "-last-frame.png"),
    "sheet": (sheet, "-sheet.png"),
}
"""Each with the end of its file's name."""


def check(source: Path) -> None:
    """MediaError for a file of which not even the first frame can be seen, such as one that was cut short."""
    with closing(_clip(source)) as clip:
        next(iter(clip.pictures([0])))


def _clip(source: Path) -> Clip:
    return Clip(source, FIELD, repr(source.name), Watch())


def _within(size: Size, width: int) -> Size:
    """`size` made no wider than `width`, in its own shape."""
    scale = min(1.0, width / size[0])
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _spread(count: int, wanted: int) -> list[int]:
    """`wanted` of `count` numbers, evenly, the first and the last among them."""
    return [round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted)]


def _palette(frames: Sequence[Image.Image]) -> Image.Image:
    width, height = (min(frames[0].width, 160), min(frames[0].height, 160))
    strip = Image.new("RGB", (width, height * len(frames)))
    for index, frame in enumerate(frames):
        strip.paste(frame.resize((width, height)), (0, index * height))
    return strip.quantize(256, method=Image.Quantize.MEDIANCUT)


def _durations(ends: Sequence[float]) -> list[int]:
    """Milliseconds of each frame; a GIF counts in hundredths, and what is rounded off is not lost."""
    marks = [0, *(round(end * 100) for end in ends)]
    return [max(after - before, 2) * 10 for before, after in pairwise(marks)]


def _png(picture: Image.Image, target: Path) -> None:
    with cache.whole(target) as part:
        picture.save(part, "PNG")
