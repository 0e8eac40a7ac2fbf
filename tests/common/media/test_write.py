"""The mp4: H.264, yuv420p, index first, lineage in the comment tag, colours as given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from common.contract import Lineage
from common.media.clips import Clip
from common.media.lineage import read_lineage
from common.media.sound import Samples
from common.media.watch import Watch
from common.media.write import write_pictures, write_video
from common.modes.t2v import MODE
from tests.common.media.sound_files import clicks, opened
from tests.disk import disk_takes

SIZE = (128, 192)


def lineage(prompt: str = "a red circle") -> Lineage:
    plan = MODE.plan(MODE.parse({"prompt": prompt, "seed": 3}))
    return Lineage(
        request={"prompt": prompt}, plan=plan, seed=3, versions={"torch": "2"}, git_sha="abc", created="now"
    )


def bars(count: int) -> np.ndarray:
    frames = np.zeros((count, *SIZE, 3), np.uint8)
    for i, color in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]):
        frames[:, :, i * 48 : (i + 1) * 48] = color
    return frames


def ffprobe(path: Path) -> dict:
    command = ["ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams", path]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.parametrize("count", [1, 5, 17])
def test_any_ffprobe_reads_codec_and_lineage(tmp_path, count):
    path = tmp_path / "a.mp4"
    write_video(bars(count), 16, path, lineage())
    found = ffprobe(path)
    stream = found["streams"][0]
    assert (stream["codec_name"], stream["pix_fmt"]) == ("h264", "yuv420p")
    assert (stream["width"], stream["height"]) == (192, 128)
    assert int(stream["nb_frames"]) == count
    assert json.loads(found["format"]["tags"]["comment"])["request"]["prompt"] == "a red circle"


def test_the_index_comes_before_the_data(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(bars(5), 16, path, lineage())
    raw = path.read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")


@pytest.mark.parametrize("count", [1, 5])
def test_frames_decode_with_their_colours(tmp_path, count):
    path = tmp_path / "a.mp4"
    write_video(bars(count), 16, path, lineage())
    with av.open(str(path)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert len(frames) == count
    middle = [frames[0][64, 24 + 48 * i].astype(int) for i in range(4)]
    for got, want in zip(middle, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True):
        assert np.abs(got - want).max() < 40, (got, want)


def test_a_long_prompt_in_any_script_survives(tmp_path):
    prompt = "狐狸在雪地里奔跑 🦊 " * 1500
    path = tmp_path / "a.mp4"
    write_video(bars(1), 16, path, lineage(prompt))
    read = read_lineage(path)
    assert read is not None and read.request["prompt"] == prompt


def test_foreign_files_have_no_lineage(tmp_path):
    other = tmp_path / "x.mp4"
    other.write_bytes(b"not a video")
    assert read_lineage(other) is None
    assert read_lineage(tmp_path / "missing.mp4") is None


def test_a_failure_leaves_nothing_behind(tmp_path):
    with pytest.raises(Exception):  # noqa: B017 - whatever the encoder says
        write_video(np.zeros((1, 0, 0, 3), np.uint8), 16, tmp_path / "a.mp4", lineage())
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_takes_only_so_much_leaves_all_or_nothing(tmp_path):
    """The index is moved to the front at the end: the last bytes are the ones that find no room."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)
    write_video(noise, 16, tmp_path / "all.mp4", None)
    size = (tmp_path / "all.mp4").stat().st_size
    for room in (0, 1, size // 2, size - 600, size - 1):
        with disk_takes(room), pytest.raises(OSError):
            write_video(noise, 16, tmp_path / "part.mp4", None)
        assert [f.name for f in tmp_path.iterdir()] == ["all.mp4"], room
    with disk_takes(size):
        write_video(noise, 16, tmp_path / "again.mp4", None)
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "all.mp4").read_bytes()


# ---------------------------------------------------------------------- with a sound


def flashes(count: int, fps: int, at: list[int]) -> tuple[np.ndarray, list[float]]:
    """Black frames of which these are white; and when they come."""
    frames = np.zeros((count, 64, 64, 3), np.uint8)
    frames[at] = 255
    return frames, [number / fps for number in at]


def clicking(moments: list[float], rate: int, channels: int, seconds: float) -> Samples:
    """Silence with clicks of a quarter of a millisecond at these moments; of two channels the right is quieter."""
    samples = np.zeros((channels, round(seconds * rate)), np.float32)
    for moment in moments:
        samples[:, round(moment * rate) : round((moment + 0.00025) * rate)] = 0.9
    return Samples(samples * np.array([[1], [0.25]], np.float32)[:channels], rate)


def white(path: Path) -> list[float]:
    """When the white frames are shown, by the times of the file itself."""
    with av.open(str(path)) as container:
        return [f.time for f in container.decode(video=0) if f.to_ndarray(format="gray").mean() > 128]


@pytest.mark.parametrize(("fps", "count"), [(16, 80), (24, 121), (30, 77)])
@pytest.mark.parametrize(("rate", "channels"), [(48_000, 2), (44_100, 2), (16_000, 1)])
def test_what_is_heard_comes_with_what_is_seen(tmp_path, fps, count, rate, channels):
    frames, moments = flashes(count, fps, [0, 8, count // 2, count - 2])
    path = tmp_path / "a.mp4"
    write_video(frames, fps, path, lineage(), clicking(moments, rate, channels, count / fps + 1))
    assert white(path) == pytest.approx(moments, abs=1e-6)
    found = opened(path)
    heard = found.heard().values
    for moment in moments:  # apart from each other
        assert clicks(heard, 48_000, [moment])[0] == pytest.approx(moment, abs=1e-3)
    assert found.seconds == pytest.approx(count / fps, abs=1e-3), "cut where the pictures end"
    assert (found.rate, len(heard)) == (48_000, channels)
    if channels == 2:
        left, right = np.abs(heard).max(1)
        assert right < left / 2, "still a stereo"


def test_they_are_together_after_a_minute_too(tmp_path):
    frames, moments = flashes(1000, 16, [8, 500, 998])
    path = tmp_path / "a.mp4"
    write_video(frames, 16, path, None, clicking(moments, 44_100, 2, 70))
    assert white(path) == pytest.approx(moments, abs=1e-6)
    assert clicks(opened(path).heard().values, 48_000, moments) == pytest.approx(moments, abs=1e-3)


def test_a_player_of_another_make_has_them_together_too(tmp_path):
    frames, moments = flashes(48, 16, [16, 32])
    path = tmp_path / "a.mp4"
    write_video(frames, 16, path, lineage(), clicking(moments, 48_000, 2, 3))
    command = ["ffmpeg", "-v", "error", "-i", path, "-map", "0:a", "-f", "f32le", "-ac", "1", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    assert clicks(np.frombuffer(raw, np.float32), 48_000, moments) == pytest.approx(moments, abs=1e-3)
    video, sound = ffprobe(path)["streams"]
    assert (video["codec_type"], sound["codec_name"], sound["sample_rate"]) == ("video", "aac", "48000")
    assert float(video["start_time"]) == float(sound["start_time"]) == 0
    assert float(video["duration"]) == pytest.approx(float(sound["duration"]), abs=1e-3)


def test_a_video_with_a_sound_is_all_that_one_without_is(tmp_path):
    plain, both = tmp_path / "plain.mp4", tmp_path / "both.mp4"
    write_video(bars(33), 16, plain, lineage())
    write_video(bars(33), 16, both, lineage(), clicking([1], 48_000, 2, 9))
    raw = both.read_bytes()
    assert raw.index(b"moov") < raw.index(b"mdat")
    assert read_lineage(both) == read_lineage(plain) == lineage()
    with av.open(str(plain)) as one, av.open(str(both)) as two:
        packets = [[bytes(p) for p in c.demux(video=0)] for c in (one, two)]
        assert packets[0] == packets[1]
    clip = Clip(both, "video", "both.mp4", Watch())
    assert clip.has_sound and (clip.count, clip.fps) == (33, 16)
    assert not Clip(plain, "video", "plain.mp4", Watch()).has_sound


def test_the_same_frames_and_sound_are_the_same_file(tmp_path):
    noise = np.random.default_rng(0).uniform(-1, 1, (2, 44_100)).astype(np.float32)
    for name in ("a.mp4", "b.mp4"):
        write_video(bars(17), 16, tmp_path / name, lineage(), Samples(noise, 44_100))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_pictures_and_sound_lie_side_by_side(tmp_path):
    """Of a long video a player has to read no further than it shows."""
    path = tmp_path / "a.mp4"
    pictures = (np.full((64, 64, 3), number % 200, np.uint8) for number in range(640))
    write_pictures(pictures, (64, 64), 16, path, None, clicking([1], 48_000, 2, 40))
    with av.open(str(path)) as container:
        order = sorted(
            (p.pos, p.stream.type, float(p.dts * p.time_base)) for p in container.demux() if p.size
        )
    latest = {"video": 0.0, "audio": 0.0}
    for _, kind, time in order:
        latest[kind] = time
        assert abs(latest["video"] - latest["audio"]) < 1


def test_a_short_sound_ends_before_the_pictures_and_none_is_none(tmp_path):
    path = tmp_path / "a.mp4"
    write_video(bars(33), 16, path, lineage(), clicking([0.5], 48_000, 1, 1))
    assert opened(path).seconds == pytest.approx(1, abs=1e-3)
    assert float(ffprobe(path)["streams"][0]["duration"]) == pytest.approx(33 / 16, abs=1e-3)
    write_video(bars(5), 16, path, lineage(), Samples(np.zeros((2, 0), np.float32), 48_000))
    assert [s["codec_type"] for s in ffprobe(path)["streams"]] == ["video"]


def test_what_is_heard_is_what_was_given(tmp_path):
    time = np.arange(3 * 48_000) / 48_000
    both = np.stack([0.3 * np.sin(2 * np.pi * 440 * time), 0.2 * np.sin(2 * np.pi * 1_000 * time)])
    path = tmp_path / "a.mp4"
    write_video(bars(48), 16, path, None, Samples(both.astype(np.float32), 48_000))
    heard = opened(path).heard().values[:, 4_800:-4_800]
    given = both[:, 4_800:-4_800]
    assert np.sqrt(((heard - given) ** 2).mean(1) / (given**2).mean(1)).max() < 0.05


def test_a_sound_that_fails_leaves_nothing_behind(tmp_path):
    with pytest.raises(Exception):  # noqa: B017 - whatever the encoder says
        write_video(
            bars(5), 16, tmp_path / "a.mp4", None, Samples(np.full((1, 48_000), np.nan, np.float32), 48_000)
        )
    assert list(tmp_path.iterdir()) == []
