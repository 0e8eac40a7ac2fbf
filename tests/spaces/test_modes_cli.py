"""`wan-studio generate` for FLF2V, V2V and VACE, and `plan` for every sub-mode that needs no downloaded model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli import main as cli
from common.modes.submodes import SUBMODES
from tests.spaces import media_for_modes as media

SHORT = ["a red circle moving right on a black background", "--frames", "5", "--steps", "1", "--seed", "1"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    folder = tmp_path_factory.mktemp("media")
    clip = media.clip(folder / "c.mp4")["path"]
    picture = media.picture(folder / "a.png")["path"]
    return {
        "video": ["--video", clip],
        "last_video": ["--last-video", clip],
        "mask": ["--mask", media.mask(folder / "m.png")["path"]],
        "image": ["--image", picture],
        "middle_image": ["--middle-image", picture],
        "last_image": ["--last-image", media.picture(folder / "b.png", 40)["path"]],
        "reference_images": ["--reference", picture],
        "bbox": ["--set", "bbox=0.1,0.1,0.5,0.5"],
        "bbox_to": ["--bbox-to", "0.4,0.4,0.9,0.9"],
    }


def run(capsys: pytest.CaptureFixture[str], out: Path, mode: str, *arguments: str) -> dict:
    assert cli.main(["generate", mode, *SHORT, *arguments, "--out", str(out), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_flf2v_and_v2v(capsys, tmp_path, files):
    made = run(
        capsys, tmp_path / "f.mp4", "flf2v", *files["image"], *files["last_image"], "--preset", "quality"
    )
    assert media.read(made["file"]).shape == (5, 128, 128, 3)
    made = run(
        capsys, tmp_path / "v.mp4", "v2v", *files["video"], "--strength", "1", "--preset", "quality"
    )  # fmt: skip
    assert made["plan"]["strength"] == 1.0 and len(media.read(made["file"])) == 5


def test_vace_inpaints_by_itself_when_there_is_a_mask(capsys, tmp_path, files):
    made = run(
        capsys, tmp_path / "o.mp4", "vace", *files["video"], *files["mask"], *files["reference_images"]
    )
    assert any("Lightning unavailable" in n for n in made["notices"])


def test_bad_input_is_one_line_and_writes_nothing(capsys, tmp_path, files):
    out = tmp_path / "o.mp4"
    for mode, arguments, text in (
        ("flf2v", files["image"], "last_image is required; give end frame"),
        ("v2v", [*files["video"], "--strength", "0.5"], "strength x num_inference_steps must be at least 1"),
        ("vace", ["--submode", "gray"], "video is required for gray"),
        ("vace", ["--submode", "firstlastclip", *files["video"]], "last_video is required"),
    ):
        assert cli.main(["generate", mode, *SHORT, *arguments, "--out", str(out)]) == 2
        said = capsys.readouterr().err.strip()
        assert text in said and len(said.splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("row", [s for s in SUBMODES.values() if not s.models()], ids=lambda s: s.key)
def test_every_submode_without_models_can_be_asked_for(capsys, files, row):
    """Planned, not made: that it is made as well is seen through the Space (test_modes_api)."""
    source = row.source(None)
    given = [a for name in (*row.needs, *(source.needs if source else ())) for a in files[name]]
    assert cli.main(["plan", "vace", *SHORT, "--submode", row.key, *given, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["mode"], plan["values"]["submode"], plan["num_frames"]) == ("vace", row.key, 5)
