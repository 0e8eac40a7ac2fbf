"""Clips: what they measure, which frame is taken, and how little is decoded for it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from common.budgets import BUDGETS
from common.errors import Cancelled, MediaError
from common.media import clips, files, opening, pictures, watch
from common.media.clips import Clip
from common.runtime.job import Job
from common.runtime.reader import Reader
from tests.common.media.clip_files import ffmpeg, handle, lying, number, pattern, read, repeated, uneven


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list with an entry for every frame that was decoded."""
    frames: list[int] = []
    advance = Clip._advance

    def counted(self: Clip) -> bool:
        more = advance(self)
        frames.extend([1] if more else [])
        return more

    monkeypatch.setattr(Clip, "_advance", counted)
    return frames


def limited(monkeypatch: pytest.MonkeyPatch, **limits: int) -> None:
    changed = dataclasses.replace(BUDGETS, **limits)
    for module in (clips, files, opening, watch):
        monkeypatch.setattr(module, "BUDGETS", changed)


# ---------------------------------------------------------------------- refused before decoding


def test_large_frames_are_refused_before_one_is_decoded(tmp_path, decoded):
    # 68 KB of 600 frames held a mode for 34 s.
    path = repeated(tmp_path / "large.mp4", 4000, 4000, 600)
    with pytest.raises(MediaError) as error:
        Reader().measured(handle(path), "video")
    assert str(error.value) == (
        "video must have frames of at most 9.44 megapixels; got 4000x4000, scale it down"
    )
    assert decoded == []


def test_many_frames_are_refused_before_one_is_decoded(tmp_path, decoded):
    path = repeated(tmp_path / "many.mp4", 16, 16, BUDGETS.clip_frames + 1, fps=60)
    with pytest.raises(MediaError, match=f"video must have at most {BUDGETS.clip_frames} frames"):
        Reader().measured(handle(path), "video")
    assert decoded == []


def test_a_container_that_does_not_say_how_many_is_counted_as_far_as_the_limit(
    tmp_path, decoded, monkeypatch
):
    limited(monkeypatch, clip_frames=20)
    with pytest.raises(MediaError, match="at most 20 frames"):
        Reader().measured(handle(pattern(tmp_path / "x.mkv")), "video")
    assert decoded == []


def test_long_clips_are_refused_before_a_frame_is_decoded(tmp_path, decoded):
    path = repeated(tmp_path / "long.mp4", 16, 16, BUDGETS.clip_seconds + 1, fps=1)
    with pytest.raises(MediaError, match=r"video must be at most 300 s long; got 301 s, cut it shorter"):
        Reader().measured(handle(path), "video")
    assert decoded == []


def test_frames_that_grow_behind_the_header_are_refused_by_the_decoder(tmp_path):
    small = repeated(tmp_path / "small.ts", 64, 64, 5)
    large = repeated(tmp_path / "large.ts", 4000, 4000, 5)
    both = tmp_path / "both.ts"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    reader = Reader()
    known = reader.measured(handle(both), "video")
    assert (known.width, known.height) == (64, 64)
    with pytest.raises(MediaError, match="video is damaged or cut short"):
        reader.clip(known, "video", 10, 10)


def test_the_time_of_decoding_is_counted_over_all_media_of_a_job(tmp_path, monkeypatch):
    path = pattern(tmp_path / "x.mp4")
    reader = Reader()
    reader.clip(handle(path), "video", 10, 30)
    spent = BUDGETS.decode_seconds - reader.watch.left
    assert spent > 0
    reader.watch.left = 0.0
    with pytest.raises(MediaError, match=r"mask must be decoded within 60 s, with all media of the job"):
        reader.clip(handle(pattern(tmp_path / "y.mp4")), "mask", 10, 30)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("concat.mp4", "ffconcat version 1.0\nfile '{clip}'\n"),
        ("hls.mp4", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{clip}\n#EXT-X-ENDLIST\n"),
        ("sdp.mp4", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
                    "a=rtpmap:96 H264/90000\n"),
        ("ffmeta.mp4", ";FFMETADATA1\ntitle=x\n"),
        ("dash.mp4", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>'),
        ("pipe.mp4", "P6 4 4 255\n" + "x" * 48),
    ],
)  # fmt: skip
def test_what_names_other_files_is_no_clip(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text.format(clip=pattern(tmp_path / "real.mp4")))
    with pytest.raises(MediaError, match="video is not a readable clip"):
        Reader().measured(handle(path), "video")


def test_a_playlist_that_ffmpeg_would_follow_is_no_clip(tmp_path):
    """The same bytes open where nobody forbids it: this test would notice an opener without its list."""
    import av

    path = tmp_path / "list.mp4"
    path.write_text(f"ffconcat version 1.0\nfile '{pattern(tmp_path / 'real.mp4').name}'\n")
    with av.open(str(path)) as container:
        assert container.format.name == "concat"
    with pytest.raises(MediaError, match="not a readable clip"):
        Reader().measured(handle(path), "video")


# ---------------------------------------------------------------------- measures and frames

KINDS = {
    "x.mp4": ("-g", "10"),
    "gop.mp4": ("-g", "1000", "-sc_threshold", "0"),
    "x.mkv": ("-g", "10"),
    "x.avi": ("-c:v", "mpeg4", "-bf", "2", "-g", "10"),
    "x.ts": ("-g", "10"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-b:v", "200k", "-g", "10"),
    "x.mov": ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p"),
}


@pytest.mark.parametrize("name", KINDS)
def test_first_last_and_any_moment_are_those_of_a_full_decode(tmp_path, name):
    path = pattern(tmp_path / name, *KINDS[name])
    frames = read(path)
    reader = Reader()
    known = reader.measured(handle(path), "image")
    assert (known.frames, known.fps, known.seconds) == (len(frames), 10.0, 3.0) == (30, 10.0, 3.0)
    asked = {"last": 29, "first": 0, 1.55: 15, 0.2: 2, 2.9: 29}  # forth and back again
    found = {moment: number(reader.frame(known, "image", moment), frames) for moment in asked}
    assert found == asked
    with pytest.raises(MediaError, match=r"image_from must lie within the clip of 3\.00 s; got inf s"):
        reader.frame(known, "image", float("inf"))


def test_a_frame_near_the_end_costs_one_group_of_pictures(tmp_path, decoded):
    path = pattern(tmp_path / "x.mp4", "-g", "10", "-sc_threshold", "0")
    Reader().frame(handle(path), "image", "last")
    assert len(decoded) <= 10
    decoded.clear()
    Reader().frame(handle(path), "image", "first")
    assert len(decoded) == 1
    decoded.clear()
    tail = Reader().clip(handle(path), "video", 10, 4, from_end=True)
    assert [number(p, read(path)) for p in tail] == [26, 27, 28, 29] and len(decoded) <= 10


def test_a_clip_is_decoded_once_though_it_is_measured_too(tmp_path, decoded, monkeypatch):
    opened: list[Path] = []
    monkeypatch.setattr(clips, "open_clip", lambda path: (opened.append(path), opening.open_clip(path))[1])
    reader = Reader()
    known = reader.measured(handle(pattern(tmp_path / "x.mp4")), "video")
    assert len(reader.clip(known, "video", 10, 30)) == 30
    assert (len(decoded), len(opened)) == (30, 2)  # the packets counted, then the frames decoded


def test_what_an_editor_cut_off_is_not_counted(tmp_path):
    """A clip that was trimmed without encoding keeps its frames in the file and an edit list that hides them."""
    whole = pattern(tmp_path / "x.mp4", "-g", "10", "-sc_threshold", "0")
    ffmpeg("-ss", "1.55", "-i", whole, "-c", "copy", tmp_path / "trim.mp4")
    known = Reader().measured(handle(tmp_path / "trim.mp4"), "video")
    frames = read(tmp_path / "trim.mp4")
    assert known.frames == len(frames) == 14
    assert number(Reader().frame(known, "image", "last"), frames) == 13


def test_reference_frames_that_vp8_never_shows_are_not_counted(tmp_path):
    path, log = tmp_path / "vp8.webm", tmp_path / "log"
    for step in ("1", "2"):
        pattern(path, "-c:v", "libvpx", "-b:v", "100k", "-auto-alt-ref", "1", "-lag-in-frames", "16",
                "-pass", step, "-passlogfile", str(log))  # fmt: skip
    with opening.open_clip(path) as container:
        packets = sum(bool(p.size) for p in container.demux(video=0))
    assert packets > len(read(path)) == Reader().measured(handle(path), "video").frames == 30


def test_a_clip_of_uneven_rate_shows_what_was_on_screen(tmp_path):
    # Ten frames at 10 fps, then one each half second.
    path = uneven(tmp_path / "vfr.mp4", [*range(10), 10, 15, 20, 25, 30], fps=10)
    frames = read(path)
    reader = Reader()
    known = reader.measured(handle(path), "video")
    assert known.frames == 15
    # At 4 a second: 0, .25, .5, .75 (nearest of 0.1 s each), 1.0, then each frame twice.
    got = [number(p, frames) for p in reader.clip(known, "video", 4, 9)]
    assert got[0] == 0 and got[1] in (2, 3) and got[2] == 5 and got[3] in (7, 8)
    assert got[4:] == [10, 10, 11, 11, 12]
    assert number(reader.frame(known, "image", 1.4), frames) == 10


def test_a_clip_cut_short_says_so_where_the_missing_part_is_needed(tmp_path):
    whole = pattern(tmp_path / "x.mp4", "-movflags", "+faststart", "-bf", "0")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    frames = read(whole)
    assert number(Reader().frame(handle(cut), "image", "first"), frames) == 0
    with pytest.raises(
        MediaError, match=r"video is damaged or cut short: of the \d+ frames of 'cut.mp4' \d+"
    ):
        Reader().clip(handle(cut), "video", 10, 30)


def test_sound_alone_is_no_clip_and_its_cover_neither(tmp_path):
    sound = tmp_path / "a.m4a"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", sound)
    with pytest.raises(MediaError, match="video has no picture track; give a clip, not a sound"):
        Reader().measured(handle(sound), "video")
    cover, both = tmp_path / "cover.png", tmp_path / "both.m4a"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=64x64:rate=1:duration=1", cover)
    ffmpeg("-i", sound, "-i", cover, "-map", "0", "-map", "1", "-c:v", "png", "-disposition:v", "attached_pic",
           both)  # fmt: skip
    with pytest.raises(MediaError, match="has no picture track"):
        Reader().measured(handle(both), "video")


def test_one_frame_is_a_clip(tmp_path):
    path = pattern(tmp_path / "one.mp4", "-frames:v", "1")
    known = Reader().measured(handle(path), "video")
    assert known.frames == 1 and len(Reader().clip(known, "video", 16, 9)) >= 1
    assert Reader().frame(known, "image", "last").size == (96, 64)


# ---------------------------------------------------------------------- scaled while decoding


@pytest.mark.parametrize(
    ("size", "need", "kept"),
    [
        ((1920, 1080), (1280, 720), (1280, 720)),
        ((1920, 1080), (832, 480), (854, 480)),  # 853.3; even, so that 11 columns go on either side
        ((1080, 1920), (832, 480), (832, 1480)),  # 1479.1
        ((640, 360), (832, 480), (640, 360)),  # never enlarged
        ((20000, 1), (128, 128), (20000, 1)),
        ((1, 20000), (128, 128), (1, 20000)),
    ],
)
def test_a_kept_frame_covers_what_is_needed_and_no_more(size, need, kept):
    assert pictures.covering(size, need) == kept


@pytest.mark.parametrize("size", [(65536, 144), (144, 65536), (8000, 8000), (4096, 2304)])
def test_a_kept_frame_never_has_more_than_four_times_the_pixels(size):
    width, height = pictures.covering(size, (832, 480))
    assert width * height <= 4.05 * 832 * 480


@pytest.mark.parametrize("turned", [False, True])
def test_scaling_while_decoding_is_scaling_afterwards(tmp_path, turned):
    path = tmp_path / "x.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=size=640x360:rate=4:duration=1", "-pix_fmt", "yuv420p", path)
    if turned:
        path = lying(path, tmp_path / "lying.mp4")
    need = (72, 128) if turned else (208, 120)
    whole = Reader().clip(handle(path), "video", 4, 9)
    small = Reader().clip(handle(path), "video", 4, 9, need=need)
    assert {p.size for p in whole} == {(360, 640) if turned else (640, 360)}
    assert {p.size for p in small} == {pictures.covering(whole[0].size, need)}
    for before, after in zip(whole, small, strict=True):
        wanted = pictures.fit(before, *need).image
        got = pictures.fit(after, *need).image
        assert np.abs(np.asarray(wanted, int) - np.asarray(got, int)).mean() < 4


# ---------------------------------------------------------------------- stopping


def test_a_stop_is_seen_at_the_next_packet_and_at_the_next_frame(tmp_path, decoded):
    job = Job()
    reader = Reader(job)
    path = pattern(tmp_path / "x.mp4")

    def each(frame):
        job.stop.set()
        return frame

    with pytest.raises(Cancelled):
        reader.clip(handle(path), "video", 10, 30, each=each)
    assert len(decoded) == 1
    with pytest.raises(Cancelled):
        Reader(job).measured(handle(path), "video")
    assert len(decoded) == 1
