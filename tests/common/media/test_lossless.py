"""Clips in between: every pixel as it was, the same bytes for the same frames, one frame at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from av.error import FFmpegError
from PIL import Image

from common.media import lossless

NOISE = np.random.default_rng(0).integers(0, 256, (5, 18, 34, 3), np.uint8)


def noise() -> Iterator[Image.Image]:
    return (Image.fromarray(values) for values in NOISE)


def test_every_pixel_is_kept(tmp_path: Path) -> None:
    lossless.write(noise(), 30, tmp_path / "any.name")
    assert np.array_equal(np.stack([np.asarray(f) for f in lossless.read(tmp_path / "any.name")]), NOISE)


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lossless.write(noise(), 30, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_frame_of_another_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16, 16"):
        lossless.write([*noise(), Image.new("RGB", (16, 16))], 30, tmp_path / "x")


def test_a_file_that_is_none_is_an_error_of_ffmpeg(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no clip")
    with pytest.raises(FFmpegError):
        list(lossless.read(tmp_path / "x"))
