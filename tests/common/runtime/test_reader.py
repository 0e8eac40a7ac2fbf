"""The reader counts a clip as the plan did, whatever its frame rate; and knows what has a sound."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from common import cache
from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError
from common.media import files
from common.modes import rules
from common.runtime.reader import Reader
from tests.common.media import sound_files


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
        known = reader.measured(given, "video", "video")
        assert (known.frames, known.fps, known.width) == (5, 10, 16)
        rules.clip("video", known)
        assert len(reader.clip(known, "video", 20, 99)) == rules.clip_length(known, 20) == 10
        assert reader.measured(given, "image").frames is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("a.mp3", {}),
        ("a.mp3", {"mime": "audio/mpeg"}),
        ("blob", {"orig_name": "a.flac", "mime": "audio/x-flac"}),
    ],
)
@pytest.mark.parametrize("kind", ["", "audio"])
def test_a_sound_is_measured(tmp_path: Path, name: str, values: dict[str, str], kind: str) -> None:
    path = sound_files.write(tmp_path / "a.mp3", "libmp3lame").rename(tmp_path / name)
    with Reader() as reader:
        known = reader.measured(MediaHandle(path=str(path), **values), "audio", kind)
    assert (known.seconds, known.has_audio) == (2.0, True)
    assert (known.width, known.height, known.frames, known.fps) == (None,) * 4
    assert known.sha256 and known.mime.startswith("audio/")


def test_a_clip_says_whether_it_has_a_sound_and_where_one_is_wanted_how_long_that_is(tmp_path: Path) -> None:
    tone = sound_files.values(48_000, 1, 1.5)
    both = MediaHandle(path=str(sound_files.clip(tmp_path / "both.mp4", {0: tone})))
    mute = MediaHandle(path=str(sound_files.clip(tmp_path / "mute.mp4", {})))
    with Reader() as reader:
        for kind in ("", "video", "image"):
            known = reader.measured(both, "video", kind)
            assert (known.frames, known.seconds, known.has_audio) == (30, 3.0, True)
            assert MediaHandle.model_validate(known.model_dump(mode="json")) == known, "and says so elsewhere too"
            assert reader.measured(mute, "video", kind).has_audio is False
        known = reader.measured(both, "audio", "audio")
        assert (known.seconds, known.has_audio) == (pytest.approx(1.5, abs=2e-3), True)
        with pytest.raises(MediaError, match="audio has no sound; give a sound, or a clip with one"):
            reader.measured(mute, "audio", "audio")


def test_what_a_browsers_microphone_made_is_a_sound_though_it_is_called_a_clip(tmp_path: Path) -> None:
    path = sound_files.write(tmp_path / "recorded.webm", "libopus", 48_000, "flt", "mono")
    with Reader() as reader:
        known = reader.measured(MediaHandle(path=str(path)), "audio", "audio")
        assert (known.mime, known.seconds) == ("video/webm", 2.0)
        assert len(reader.sound(known, "audio").speech()) == 32_000


def test_a_sound_fills_no_slot_for_pictures(tmp_path: Path) -> None:
    sound = MediaHandle(path=str(sound_files.write(tmp_path / "a.mp3", "libmp3lame")))
    with Reader() as reader, pytest.raises(MediaError, match=r"image is not a readable picture: 'a\.mp3'"):
        reader.measured(sound, "image", "image")


def test_a_sound_may_be_as_large_as_a_clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        files, "BUDGETS", dataclasses.replace(BUDGETS, image_bytes=1_000, upload_bytes=20_000)
    )
    path = sound_files.write(tmp_path / "a.mp3", "libmp3lame", samples=sound_files.values(44_100, 2, 0.5, []))
    with Reader() as reader:
        assert reader.measured(MediaHandle(path=str(path)), "audio").seconds == 0.5
        long = sound_files.write(tmp_path / "b.mp3", "libmp3lame")
        with pytest.raises(MediaError, match=r"audio must be at most 0\.02 MB"):
            reader.measured(MediaHandle(path=str(long)), "audio")
