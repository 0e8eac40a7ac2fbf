"""The reader counts a clip as the plan did, whatever its frame rate."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from common import cache
from common.contract import MediaHandle
from common.modes import rules
from common.runtime.reader import Reader


def clip(path: Path, frames: int, rate: Fraction) -> MediaHandle:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            picture = np.full((16, 16, 3), number % 250, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())
    return MediaHandle(path=str(path), mime="video/mp4")


@pytest.mark.parametrize(
    ("frames", "rate", "fps"),
    [(500, (30_000, 1001), 30), (400, (24_000, 1001), 30), (1000, (60_000, 1001), 30), (31, (25, 1), 30)],
)
def test_a_clip_has_as_many_frames_as_the_plan_counts(tmp_path: Path, frames: int, rate, fps: int) -> None:
    with Reader() as reader:
        known = reader.measured(clip(tmp_path / "a.mp4", frames, Fraction(*rate)), "video")
        counted = rules.clip_length(known, fps)
        assert counted is not None
        read = reader.by_number(known, "video", fps)
        assert len(list(read(range(counted)))) == counted
        assert not list(read([counted])), "there is nothing beyond"
        assert len(reader.clip(known, "video", fps, counted + 9)) == counted


def test_what_is_held_is_held_until_the_job_ends(tmp_path: Path) -> None:
    with Reader() as reader:
        reader.hold(tmp_path / "a")
        assert cache.held(tmp_path / "a")
    assert not cache.held(tmp_path / "a")


def test_a_gif_is_a_clip_where_a_clip_belongs_and_a_picture_elsewhere(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (40 * n, 0, 0)) for n in range(5)]
    frames[0].save(path := tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=100)
    with Reader() as reader:
        given = MediaHandle(path=str(path))
        known = reader.measured(given, "video", clip=True)
        assert (known.frames, known.fps, known.width) == (5, 10, 16)
        rules.clip("video", known)
        assert len(reader.clip(known, "video", 20, 99)) == rules.clip_length(known, 20) == 10
        assert reader.measured(given, "image").frames is None
