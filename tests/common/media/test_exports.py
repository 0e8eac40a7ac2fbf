"""What a clip is taken along as shows its own frames: checked by decoding it anew."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from common.budgets import BUDGETS
from common.errors import MediaError
from common.media import exports
from tests.common.fakes import clip

FRAMES, FPS = 20, 16


@pytest.fixture(scope="module")
def bar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bar of colour that is 4 pixels wider with each frame."""
    path = tmp_path_factory.mktemp("clip") / "bar.mp4"
    clip(path, 80, 48, FRAMES, FPS)
    return path


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def widths(picture: Image.Image) -> int:
    """Columns in which the bar is."""
    return int((np.asarray(picture.convert("RGB"))[..., 2].mean(axis=0) > 110).sum())


def test_the_last_frame_is_the_very_last_one_pixel_by_pixel(bar: Path, tmp_path: Path) -> None:
    exports.last(bar, tmp_path / "last.png")
    with Image.open(tmp_path / "last.png") as shown:
        assert shown.format == "PNG"
        assert np.array_equal(np.asarray(shown), frames(bar)[-1])


def test_a_gif_has_every_frame_in_order_and_lasts_as_long(bar: Path, tmp_path: Path) -> None:
    exports.gif(bar, tmp_path / "bar.gif")
    with Image.open(tmp_path / "bar.gif") as shown:
        assert (shown.format, shown.n_frames, shown.size, shown.info["loop"]) == ("GIF", FRAMES, (80, 48), 0)
        seen, lasts = [], 0
        for number in range(FRAMES):
            shown.seek(number)
            lasts += shown.info["duration"]
            seen.append(widths(shown))
            off = np.abs(np.asarray(shown.convert("RGB"), int) - frames(bar)[number]).mean()
            assert off < 8, f"frame {number} is {off:.1f} off"
    assert seen == sorted(seen) and seen[0] <= 5 and seen[-1] >= 78
    assert lasts == pytest.approx(1000 * FRAMES / FPS, abs=10)


def test_a_large_clip_becomes_a_gif_of_480_pixels_within_its_budget(tmp_path: Path) -> None:
    count = BUDGETS.export_frames + 30
    clip(tmp_path / "long.mp4", 960, 64, count, 16)
    exports.gif(tmp_path / "long.mp4", tmp_path / "long.gif")
    with Image.open(tmp_path / "long.gif") as shown:
        assert shown.size == (480, 32) and shown.n_frames <= BUDGETS.export_frames
        lasts = 0
        for number in range(shown.n_frames):
            shown.seek(number)
            lasts += shown.info["duration"]
    assert lasts == pytest.approx(1000 * count / 16, rel=0.01)


def test_a_sheet_goes_from_the_first_frame_to_the_last(bar: Path, tmp_path: Path) -> None:
    exports.sheet(bar, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as shown:
        page = shown.convert("RGB")
    columns, rows, gap = exports.COLUMNS, exports.ROWS, exports.GAP
    assert page.size == (columns * (80 + gap) + gap, rows * (48 + gap) + gap)
    seen = []
    for place in range(columns * rows):
        left, top = gap + place % columns * (80 + gap), gap + place // columns * (48 + gap)
        # Below the time that stands in the corner.
        seen.append(widths(page.crop((left, top + 30, left + 80, top + 48))))
    assert seen == sorted(seen) and seen[0] <= 5 and seen[-1] >= 78


def test_a_still_is_a_sheet_of_one_and_a_gif_of_one(tmp_path: Path) -> None:
    clip(tmp_path / "one.mp4", 64, 48, 1, 16)
    exports.sheet(tmp_path / "one.mp4", tmp_path / "one.png")
    exports.gif(tmp_path / "one.mp4", tmp_path / "one.gif")
    with Image.open(tmp_path / "one.png") as page, Image.open(tmp_path / "one.gif") as still:
        assert page.size == (64 + 2 * exports.GAP, 48 + 2 * exports.GAP)
        assert getattr(still, "n_frames", 1) == 1


def test_a_thumbnail_is_the_first_frame_small(tmp_path: Path) -> None:
    clip(tmp_path / "big.mp4", 800, 400, 5, 16)
    exports.thumbnail(tmp_path / "big.mp4", tmp_path / "big.webp")
    with Image.open(tmp_path / "big.webp") as shown:
        assert (shown.format, shown.size) == ("WEBP", (400, 200))
        assert 70 <= widths(shown) <= 90  # a fifth


@pytest.mark.parametrize("make", [make for make, _ in exports.EXPORTS.values()])
def test_what_is_no_clip_is_refused_and_leaves_nothing(tmp_path: Path, make: object) -> None:
    (tmp_path / "no.mp4").write_text("no")
    with pytest.raises(MediaError, match="not a readable clip"):
        make(tmp_path / "no.mp4", tmp_path / "out.png")  # type: ignore[operator]
    assert [f.name for f in tmp_path.iterdir()] == ["no.mp4"]
