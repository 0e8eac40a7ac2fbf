"""Animate on the command line: its files, and how a video of several segments goes on after it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cli import main as cli
from cli.terminal import follow
from common.contract import MediaHandle, Step
from common.errors import Cancelled, GpuError, StudioError
from common.modes.animate import MODE, OWN
from common.run.fake import FakeRunner
from tests.common.fakes import manifest

FILES = ["--image", "a.png", "--video", "b.mp4"]


def asked(*argv: str) -> dict[str, Any]:
    return cli.values(cli.parser().parse_args(["generate", "animate", *argv]))


def test_the_character_and_the_driving_video_are_files() -> None:
    values = asked(*FILES, "--set", "animate_mode=replace", "--frames", "40")
    request = MODE.parse(values)
    assert (request.image, request.video) == (MediaHandle(path="a.png"), MediaHandle(path="b.mp4"))
    assert (request.animate_mode, request.num_frames, request.prompt) == ("replace", 40, "")


def test_own_videos_are_files_by_set_and_by_name() -> None:
    by_set = asked("--image", "a.png", *[a for name in OWN for a in ("--set", f"{name}={name}.mp4")])
    by_name = asked("--image", "a.png", *[a for n in OWN for a in (f"--{n.replace('_', '-')}", f"{n}.mp4")])
    assert by_set == by_name
    request = MODE.parse(by_set)
    assert [getattr(request, name).path for name in OWN] == [f"{name}.mp4" for name in OWN]


def test_the_rest_is_read_from_text() -> None:
    request = MODE.parse(
        asked(*FILES, "--retarget", "true", "--set", "prev-segment-conditioning-frames=5", "--relight", "no")
    )
    assert (request.retarget, request.prev_segment_conditioning_frames, request.relight) == (True, 5, False)


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["--video", "b.mp4"], "image is required; give character"),
        (["--image", "a.png"], "video is required; give a driving video"),
        ([*FILES, "--set", "animate_mode=swap"], "animate_mode is not valid"),
        ([*FILES, "--frames", "1"], "num_frames must be at least 2, more than the 1 that"),
        ([*FILES, "--checkpoint", "wan2.2-animate-2-14b"], "checkpoint must be one that animate runs here"),
    ],
)
def test_bad_input_is_exit_2_and_one_line(
    argv: list[str], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["generate", "animate", *argv]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def followed(error: BaseException, *indices: int) -> None:
    steps = [(None, Step(index=i, total=6, segment=(i + 1) // 2, segments=3)) for i in indices]
    runner = FakeRunner(MODE, manifest(MODE), [*steps, error])  # type: ignore[list-item]
    follow(runner, {"prompt": "", "seed": 4711}, None)


@pytest.mark.parametrize("error", [Cancelled(), GpuError("aborted")])
def test_a_job_that_ends_early_says_how_it_goes_on(error: StudioError, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(type(error)):
        followed(error, 1, 2, 3)
    said = "wan-studio: 1 of 3 segments is kept; the same again with --seed 4711 goes on from there\n"
    assert capsys.readouterr().err == said


def test_a_job_with_nothing_kept_says_nothing(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(Cancelled):
        followed(Cancelled(), 1, 2)
    assert capsys.readouterr().err == ""
