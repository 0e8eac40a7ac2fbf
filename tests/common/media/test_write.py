"""The mp4: H.264, yuv420p, index first, lineage in the comment tag, colours as given."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from common.contract import Lineage
from common.media.lineage import read_lineage
from common.media.write import write_video
from common.modes.t2v import MODE
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
