"""Chains with real tiny pipelines: the last file makes all of them again, frame by frame, or with a knob changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.main import main
from common.media.lineage import read_lineage
from common.media.write import write_video
from tests.common.media import sound_files
from tests.spaces import media_for_modes as media

pytestmark = pytest.mark.slow
RED = "a red circle moving right on a black background"
FEW = ["--steps", "3", "--preset", "quality"]
EXAMPLES = Path(__file__).parents[2] / "common/examples"

Ran = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ran:
    """`run("generate", …)` from the folder `made`, with a cache of its own; what `--json` prints."""
    (tmp_path / "made").mkdir()
    monkeypatch.chdir(tmp_path / "made")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))

    def go(*argv: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*argv, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return go


def alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with this file and nothing else, and an empty cache."""
    (tmp_path / "alone").mkdir()
    shutil.copy(tmp_path / "made" / name, tmp_path / "alone")
    monkeypatch.chdir(tmp_path / "alone")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "another-cache"))


def test_t2v_i2v_v2v_from_the_last_file_alone(
    run: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("generate", "t2v", RED, *FEW, "--frames", "9", "--out", "1.mp4")
    run("generate", "i2v", "it moves left", *FEW, "--frames", "9", "--image", "1.mp4", "--image-from", "last",
        "--out", "2.mp4")  # fmt: skip
    run("generate", "v2v", "a blue circle", *FEW, "--video", "2.mp4", "--strength", "0.9", "--out", "3.mp4")
    alone("3.mp4", tmp_path, monkeypatch)
    again = run("replay", "3.mp4", "--out", "again.mp4")
    assert [s["made"] for s in again["steps"]] == [True] * 3 and again["same"] is True
    np.testing.assert_array_equal(media.read("3.mp4"), media.read("again.mp4"))
    before, after = read_lineage(Path("3.mp4")), read_lineage(Path("again.mp4"))
    assert before is not None and after is not None and before.plan == after.plan
    assert after.request == before.request | {"checkpoint": before.plan.checkpoint}, "asked for as it was"

    other = run("replay", "3.mp4", "--set", "t2v.prompt=a yellow star on a navy background", "--out", "o.mp4")
    assert other["same"] is None and other["seed"] == again["seed"]
    assert not np.array_equal(media.read("3.mp4"), media.read("o.mp4"))
    third = read_lineage(Path("o.mp4"))
    assert third is not None and (second := third.parents[0].lineage) and (first := second.parents[0].lineage)
    assert "yellow star" in first.request["prompt"] and second.request["prompt"] == "it moves left"
    assert first.seed == before.parents[0].lineage.parents[0].lineage.seed  # type: ignore[union-attr]

    shorter = run(
        "replay", "o.mp4", "--set", "2.frames=5", "--out", "s.mp4"
    )  # o's own steps lie in this cache
    assert [(s["mode"], s["made"]) for s in shorter["steps"]] == [
        ("t2v", False),
        ("i2v", True),
        ("v2v", True),
    ]
    assert len(media.read("s.mp4")) == 5, "what follows a clip is as long as the clip"


def test_t2v_vace_animate_from_the_last_file_and_its_picture(
    run: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    star, square = str(EXAMPLES / "yellow-star.png"), str(EXAMPLES / "blue-square.png")
    enough = ["--steps", "12", "--preset", "quality"]  # or Animate finds nobody in it
    green = "a green circle moving right on a black background"
    run("generate", "t2v", RED, *enough, "--out", "1.mp4")
    run("generate", "vace", green, *enough, "--submode", "gray", "--video", "1.mp4", "--out", "2.mp4")
    replace = ["--animate-mode", "replace"]
    run("generate", "animate", *FEW, *replace, "--image", star, "--video", "2.mp4", "--out", "3.mp4")
    alone("3.mp4", tmp_path, monkeypatch)
    again = run("replay", "3.mp4", "--input", star, "--out", "again.mp4")
    assert [s["made"] for s in again["steps"]] == [True] * 3 and again["same"] is True
    np.testing.assert_array_equal(media.read("3.mp4"), media.read("again.mp4"))

    assert main(["recipe", "3.mp4", "-o", "star.json"]) == 0
    down = "vace.prompt=a blue circle moving right on a black background"
    other = run("replay", "star.json", "--input", star, "--set", down, "--out", "o.mp4")
    assert [s["made"] for s in other["steps"]] == [True] * 3
    assert not np.array_equal(media.read("3.mp4"), media.read("o.mp4"))
    other = run("replay", "again.mp4", "--set", f"image={square}", "--out", "square.mp4")
    assert [s["made"] for s in other["steps"]] == [False, True], "the same driving video, found in the cache"
    assert not np.array_equal(media.read("3.mp4"), media.read("square.mp4"))


@pytest.mark.parametrize(
    "argv",
    [
        ["flf2v", RED, "--frames", "9", "--image", "c.mp4", "--image-from", "0.2", "--last-image", "b.png"],
        ["v2v", RED, "--video", "c.mp4"],
        ["v2v", RED, "--video", "c.mp4", "--frames", "5", "--strength", "0.9"],
        ["vace", RED, "--video", "c.mp4", "--mask", "m.png", "--mask-shape", "hull", "--set", "keep_source=false"],
        ["vace", RED, "--video", "c.mp4", "--mask", "m.mp4"],
        ["vace", RED, "--submode", "firstclip", "--video", "c.mp4", "--frames", "17", "--set", "keep_frames=5"],
        ["vace", RED, "--submode", "firstlastclip", "--video", "c.mp4", "--last-video", "d.mp4", "--frames", "17"],
        ["vace", RED, "--submode", "framerefext", "--video", "c.mp4", "--set", "keyframes=0,8"],
        ["vace", RED, "--submode", "outpainting", "--video", "c.mp4", "--set", "expand_left=0.5"],
        ["vace", RED, "--submode", "layout_bbox", "--bbox", "0,0.3,0.4,0.7", "--bbox-to", "0.5,0.3,0.9,0.7"],
        ["vace", RED, "--submode", "image_reference", "--reference", "b.png", "--reference", "a.png"],
        ["vace", RED, "--submode", "firstframe", "--image", "c.mp4", "--image-from", "last", "--frames", "9"],
        ["s2v", "a red circle on a black background", "--image", "a.png", "--audio", "a.wav"],
        ["s2v", "a red circle", "--image", "c.mp4", "--image-from", "last", "--audio", "a.wav", "--set", "num_clip=1",
         "--set", "pose_video=pose.mp4"],
        ["animate", "--image", "a.png", "--video", "c.mp4"],
        ["animate", "--image", "a.png", "--video", "c.mp4", "--animate-mode", "replace", "--mask-video", "c.mp4",
         "--set", "prev_segment_conditioning_frames=5"],
    ],
    ids=lambda argv: "-".join(a.removeprefix("--") for a in argv if a not in (RED, "--set", "--submode"))[:60],
)  # fmt: skip
def test_every_mode_is_made_again_exactly(argv: list[str], run: Ran, tmp_path: Path) -> None:
    """Found beside the result by their content, under other names."""
    made = tmp_path / "made"
    media.picture(made / "a.png")
    media.picture(made / "b.png", 40, "blue")
    media.mask(made / "m.png")
    media.clip(made / "c.mp4", frames=9)
    media.clip(made / "d.mp4", frames=7, fps=12)
    media.clip(made / "pose.mp4", frames=9)
    sound_files.write(made / "a.wav", "pcm_s16le", 16_000, "s16", "mono", sound_files.values(16_000, 1, 1.5))
    white = np.zeros((9, 128, 128, 3), np.uint8)
    white[:, :, 64:] = 255
    write_video(white, 16, made / "m.mp4", None)
    run("generate", *argv, *FEW, "--seed", "7", "--out", "one.mp4")
    for number, path in enumerate(sorted(made.iterdir())):
        if path.name != "one.mp4":
            path.rename(path.with_name(f"{number}{path.suffix}"))
    again = run("replay", "one.mp4", "--out", "again.mp4")
    assert again["same"] is True and again["seed"] == 7
    np.testing.assert_array_equal(media.read("one.mp4"), media.read("again.mp4"))
    first, second = read_lineage(Path("one.mp4")), read_lineage(Path("again.mp4"))
    assert first is not None and second is not None and first.plan == second.plan
    assert [p.model_dump() for p in first.parents] == [p.model_dump() for p in second.parents]
    assert all(second.request[name] == value for name, value in first.request.items()), (
        "what was asked for is asked"
    )


def test_a_clip_that_was_extended_twice_is_made_again_whole(
    run: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on = ["--image-from", "last", "--set", "join=true", "--frames", "9", *FEW]
    run("generate", "t2v", RED, *FEW, "--frames", "9", "--out", "1.mp4")
    run("generate", "i2v", RED, *on, "--image", "1.mp4", "--out", "2.mp4")
    run("generate", "i2v", RED, *on, "--image", "2.mp4", "--out", "3.mp4")
    assert media.read(Path("3.mp4")).shape[0] == 9 + 8 + 8
    alone("3.mp4", tmp_path, monkeypatch)
    again = run("replay", "3.mp4", "--out", "again.mp4")
    assert [s["made"] for s in again["steps"]] == [True] * 3 and again["same"] is True
    assert np.array_equal(media.read(Path("again.mp4")), media.read(Path("3.mp4")))
