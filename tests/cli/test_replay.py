"""`wan-studio replay` and `recipe`: exact again, one knob changed, files found by their content, errors in a line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.main import main
from common.contract import Lineage, Parent, Step
from common.errors import GpuError
from common.media.files import sha256
from common.media.lineage import read_lineage
from common.media.write import write_video
from common.modes.all import MODES
from common.run.fake import FakeRunner
from tests.common.fakes import manifest
from tests.spaces import media_for_modes as media

RED = "a red circle moving right on a black background"
SHORT = ["--frames", "5", "--steps", "2", "--preset", "quality", "--seed", "3"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, and a cache in which nothing is found."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(scope="module")
def circle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("made") / "circle.mp4"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(out.parent / "cache"))
        assert main(["generate", "t2v", RED, *SHORT, "--out", str(out)]) == 0
    yield out


def lineage(mode: str, *parents: Parent, **values: Any) -> Lineage:
    m = MODES[mode]  # type: ignore[index]
    slots = {slot.name: {"path": "x.mp4"} for slot in m.slots if slot.name in {p.role for p in parents}}
    request = m.parse({"prompt": RED, "seed": 3, **slots, **values})
    kept = request.model_dump(mode="json", exclude={s.name for s in m.slots}, exclude_none=True)
    return Lineage(
        request=kept, plan=m.plan(request), seed=3, versions={"torch": "1.0"}, git_sha="", revision="nano-old",
        created="", parents=list(parents),
    )  # fmt: skip


def clip(path: Path, of: Lineage | None, frames: int = 17) -> Path:
    write_video(np.zeros((frames, 128, 128, 3), np.uint8), 16, path, of)
    return path


def said(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out)


def dry(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["replay", *argv, "--dry-run", "--json"]) == 0
    return said(capsys)


# ---------------------------------------------------------------------- exact


def test_a_replay_has_the_same_frames_and_says_so(circle: Path, here: Path, capsys) -> None:
    assert main(["replay", str(circle), "--json"]) == 0
    told = capsys.readouterr()
    made = json.loads(told.out)
    assert made["file"] == "t2v-3-replay.mp4" and made["same"] is True and made["seed"] == 3
    assert "the same frames as" in told.err and not made["notices"]
    np.testing.assert_array_equal(media.read(circle), media.read(made["file"]))
    again, before = read_lineage(here / made["file"]), read_lineage(circle)
    assert again is not None and before is not None and again.plan == before.plan


def test_one_knob_changed_is_another_video(circle: Path, here: Path, capsys) -> None:
    assert main(["replay", str(circle), "--set", "seed=4", "--out", "o.mp4", "--json"]) == 0
    made = said(capsys)
    assert made["seed"] == 4 and made["same"] is None and made["plan"]["num_inference_steps"] == 2
    assert not np.array_equal(media.read(circle), media.read("o.mp4"))


def test_a_recipe_that_was_saved_is_run_with_the_same_result(circle: Path, here: Path, capsys) -> None:
    assert main(["recipe", str(circle), "--name", "red circle", "-o", "red.json"]) == 0
    assert said_text(capsys) == "red.json\n"
    assert json.loads(Path("red.json").read_text())["name"] == "red circle"
    shutil.copy(circle, here)
    assert main(["replay", "red.json", "--out", "o.mp4", "--json"]) == 0
    assert said(capsys)["same"] is True, "what it was made from lies beside it, and is compared"
    np.testing.assert_array_equal(media.read(circle), media.read("o.mp4"))


def said_text(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


# ---------------------------------------------------------------------- which steps, and with what


def chain(folder: Path, beside: bool = False) -> tuple[Path, Path, Path]:
    """T2V and a picture lead to VACE, and that and the picture to Animate, as files; what lies beside the last."""
    (deep := folder / "deep").mkdir()
    first = clip(deep / "t.mp4", of := lineage("t2v"))
    mask = Path(media.mask(deep / "m.png")["path"])
    parents = [
        Parent(sha256=sha256(first), role="video", mode="t2v", mime="video/mp4", lineage=of),
        Parent(sha256=sha256(mask), role="mask", mime="image/png"),
    ]
    vace = clip(deep / "v.mp4", second := lineage("vace", *parents))
    parents = [
        Parent(sha256=sha256(mask), role="image", mime="image/png"),
        Parent(sha256=sha256(vace), role="video", mode="vace", mime="video/mp4", lineage=second),
    ]
    return clip(folder / "a.mp4", lineage("animate", *parents, animate_mode="animate")), mask, vace


def test_only_what_changes_is_made_again(here: Path, capsys) -> None:
    last, mask, vace = chain(here)
    told = dry(capsys, str(last), "--input", str(mask))
    assert [(s["step"], s["mode"], s["make"]) for s in told["steps"]] == [
        (1, "t2v", True), (2, "vace", True), (3, "animate", True),
    ]  # fmt: skip
    total = sum(s["plan"]["expected_seconds"] for s in told["steps"])
    assert told["expected_seconds"] == pytest.approx(total, abs=0.1)
    told = dry(capsys, str(last), "--input", str(mask), "--input", str(vace))
    assert [(s["mode"], s["make"]) for s in told["steps"]] == [("vace", False), ("animate", True)]
    assert str(vace) in told["steps"][0]["what"]
    told = dry(capsys, str(last), "--input", str(mask), "--input", str(vace), "--set", "vace.seed=9")
    assert [(s["mode"], s["make"]) for s in told["steps"]] == [
        ("t2v", True),
        ("vace", True),
        ("animate", True),
    ]
    told = dry(capsys, str(last), "--input", str(mask), "--input", str(vace), "--set", "t2v.seed=9")
    assert [s["make"] for s in told["steps"]] == [True] * 3, "what comes after a change is made anew"
    told = dry(capsys, str(last), "--set", f"image={mask}", "--set", f"video={vace}")
    assert [s["mode"] for s in told["steps"]] == ["animate"], "nothing before it is used any more"


def test_files_are_found_beside_and_in_the_cache_by_what_is_in_them(here: Path, capsys) -> None:
    last, mask, vace = chain(here)
    shutil.copy(mask, here / "any name.PNG")
    clip(here / f"vace-{sha256(vace)[:8]}.mp4", None)  # named so, and another
    told = dry(capsys, str(last))
    assert told["steps"][1]["sources"][1] == f"mask: {here / 'any name.PNG'}" and told["steps"][1]["make"]
    kept = here.parent / "cache" / "wan-studio" / "0a" / f"vace-3-{sha256(vace)[:8]}.mp4"
    kept.parent.mkdir(parents=True)
    shutil.copy(vace, kept)
    assert dry(capsys, str(last))["steps"][0]["what"] == f"its result is there: {kept}"
    (here / "any name.PNG").unlink()
    upload = here.parent / "cache" / sha256(mask) / "blob"
    upload.parent.mkdir()
    shutil.copy(mask, upload)
    assert dry(capsys, str(last))["steps"][1]["sources"][0] == f"image: {upload}", (
        "it was taken for a picture"
    )


def test_a_knob_of_the_first_step_is_foreseen_to_the_last(here: Path, capsys) -> None:
    last, mask, _ = chain(here)
    told = dry(capsys, str(last), "--input", str(mask), "--set", "1.frames=9")
    assert [s["plan"]["num_frames"] for s in told["steps"]] == [9, 9, 17], "16 frames a second are not 30"
    assert any("num_frames was 17 and is now 9" in n for n in told["steps"][1]["notices"])


def test_what_is_different_here_is_said(here: Path, capsys) -> None:
    one = clip(here / "t.mp4", lineage("t2v"))
    (step,) = dry(capsys, str(one))["steps"]
    assert any("torch 1.0 (here " in n for n in step["notices"])
    assert any("its weights were nano-old" in n for n in step["notices"])
    assert main(["replay", str(one), "--dry-run"]) == 0
    assert "note: its weights were nano-old" in said_text(capsys)


def test_half_a_file_still_says_how_it_was_made(circle: Path, here: Path, capsys) -> None:
    raw = circle.read_bytes()
    Path("half.mp4").write_bytes(raw[: len(raw) * 2 // 3])
    assert dry(capsys, "half.mp4")["steps"][0]["plan"]["seed"] == 3
    Path("less.mp4").write_bytes(raw[:100])
    assert main(["replay", "less.mp4"]) == 2


# ---------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["none.mp4"], "FILE must be a video of Wan Studio or a recipe; got 'none.mp4'"),
        (["."], "FILE must be a video of Wan Studio or a recipe; got '.'"),
        (["/dev/zero"], "FILE must be a video"),
        (["a" * 5000], "FILE cannot be read: file name too long"),
        (["a\0b"], "FILE"),
        (["foreign.mp4"], "FILE is neither a recipe nor a video that says how"),
        (["broken.json"], "recipe is not readable as JSON"),
        (["huge.json"], "recipe must be at most 1000 kB"),
        (["t.mp4", "--set", "seed"], "set must be KEY=VALUE or STEP.KEY=VALUE; got 'seed'"),
        (["t.mp4", "--set", "colour=red"], "colour is not an input of step 1 (t2v)"),
        (["t.mp4", "--set", "2.seed=1"], "set must name a step by its number or mode; got '2', there are 1 (t2v)"),
        (["t.mp4", "--set", "vace.seed=1"], "set must name a step by its number or mode; got 'vace'"),
        (["t.mp4", "--set", "seed=1", "--set", "seed=2"], "seed is given twice"),
        (["t.mp4", "--set", "seed=x"], "seed is not valid"),
        (["t.mp4", "--set", "frames=80"], "num_frames must be 4k+1; got 80"),
        (["t.mp4", "--set", "size=big"], "size must be WIDTHxHEIGHT; got 'big'"),
        (["t.mp4", "--set", "prompt="], "prompt must not be empty"),
        (["t.mp4", "--set", "checkpoint=wan9"], "checkpoint must be one that t2v runs"),
        (["t.mp4", "--input", "none.png"], "--input has no file 'none.png'"),
        (["t.mp4", "--input", ""], "--input"),
        (["t.mp4", "--input", "foreign.mp4"], "foreign.mp4 is nothing that this was made from"),
        (["t.mp4", "--out", "t.mp4"], "--out must be another file than the one that is replayed"),
        (["t.mp4", "--out", "x.gif"], "--out must end in .mp4"),
        (["t.mp4", "--server", "here"], "--server must be the URL"),
        (["i.mp4"], f"image is missing: there is no file with the sha256 {'c' * 64} here; give it by --input FILE"),
        (["i.mp4", "--set", "image=none.png"], "image has no file 'none.png'"),
        (["i.mp4", "--set", "image=t.mp4", "--set", "image=t.mp4"], "image is given twice"),
        (["i.mp4", "--set", "image="], "image is required"),
        (["two.mp4"], "step 1 (i2v): image is missing"),
        (["two.mp4", "--set", "seed=1", "--set", "i2v.seed=1"], "set must name a step by its number; got 'i2v'"),
        (["two.mp4", "--set", "1.steps=99"], "step 1 (i2v): image is missing"),
        (["two.mp4", "--set", "1.seed=1", "--set", "image=t.mp4"], "changes step 1 (i2v), whose result nothing uses"),
        (["mixed.json"], "--weights must say which"),
    ],
)  # fmt: skip
def test_bad_input_is_exit_2_and_one_line(argv: list[str], text: str, here: Path, capsys) -> None:
    clip(here / "t.mp4", lineage("t2v"))
    clip(here / "foreign.mp4", None)
    outside = lineage("i2v", Parent(sha256="c" * 64, role="image", mime="image/png"))
    clip(here / "i.mp4", outside)
    clip(here / "two.mp4", lineage("i2v", Parent(sha256="d" * 64, role="image", mode="i2v", lineage=outside)))
    (here / "broken.json").write_text('{"wan_recipe": 1, "steps"')
    (here / "huge.json").write_text("{" + " " * 10_000_000)
    steps = [
        {"mode": "t2v", "weights": "wan", "request": {"prompt": "a"}},
        {
            "mode": "v2v",
            "weights": "nano",
            "request": {"prompt": "a"},
            "sources": [{"slot": "video", "step": 1}],
        },
    ]
    (here / "mixed.json").write_text(json.dumps({"wan_recipe": 1, "steps": steps}))
    before = sorted(here.iterdir())
    assert main(["replay", *argv]) == 2
    told = capsys.readouterr()
    assert text in told.err and told.err.count("\n") == 1 and told.out == ""
    assert sorted(here.iterdir()) == before
    assert not list((here.parent / "cache").rglob("*.mp4"))


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        (["t.mp4", "-o", "r.txt"], "--out must end in .json; got 'r.txt', try r.json"),
        (["t.mp4", "-o", "/proc/r.json"], "--out cannot be written"),
        (["t.mp4", "-o", "d.json"], "--out must be a file"),
        (["t.mp4", "--name", "a\nb"], "name is not valid"),
        (["t.mp4", "--name", "x" * 500], "name is not valid"),
        (["foreign.mp4"], "is neither a recipe nor"),
    ],
)
def test_a_recipe_that_cannot_be_saved_is_exit_2(argv: list[str], text: str, here: Path, capsys) -> None:
    clip(here / "t.mp4", lineage("t2v"))
    clip(here / "foreign.mp4", None)
    (here / "d.json").mkdir()
    assert main(["recipe", *argv]) == 2
    told = capsys.readouterr()
    assert text in told.err and told.err.count("\n") == 1 and told.out == ""


def test_a_recipe_can_be_given_another_name_and_knows_the_names_of_its_files(here: Path, capsys) -> None:
    last, mask, _ = chain(here)
    shutil.copy(mask, here / "my mask.png")
    assert main(["recipe", str(last), "-o", "r.json"]) == 0
    first = json.loads(Path("r.json").read_text())
    sources = [source for step in first["steps"] for source in step.get("sources", [])]
    names = [source.get("name") for source in sources if "sha256" in source]
    assert names == ["my mask.png", "my mask.png"] and first["name"] == "t2v → vace → animate"
    assert str(here) not in Path("r.json").read_text()
    capsys.readouterr()
    assert main(["recipe", "r.json", "--name", "Wäsche"]) == 0
    assert said(capsys)["name"] == "Wäsche"


def test_a_recipe_names_no_file_that_is_then_read(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Only files that the user named, or that lie beside, or in the cache, are opened, and used by their hash."""
    secret = here.parent / "secret.png"
    media.picture(secret)
    digest = sha256(secret)
    opened: list[str] = []
    real = Path.open

    def watched(self: Path, *args: Any, **kwargs: Any) -> Any:
        opened.append(str(self))
        return real(self, *args, **kwargs)

    sources = [{"slot": "image", "sha256": digest, "name": str(secret), "mime": str(secret)}]
    steps = [{"mode": "i2v", "request": {"prompt": str(secret)}, "sources": sources}]
    Path("r.json").write_text(json.dumps({"wan_recipe": 1, "name": str(secret), "steps": steps}))
    monkeypatch.setattr(Path, "open", watched)
    assert main(["replay", "r.json", "--dry-run"]) == 2
    assert opened and str(secret) not in opened
    told = capsys.readouterr().err
    assert "image is missing" in told and told.count("\n") == 1


def test_what_a_link_beside_leads_to_is_taken_by_its_hash_alone(here: Path, capsys) -> None:
    last, mask, _ = chain(here)
    other = here.parent / "elsewhere.png"
    media.picture(other)
    (here / "mask.png").symlink_to(other)
    os.mkfifo(here / "pipe.png")
    assert main(["replay", str(last), "--dry-run"]) == 2
    assert "mask is missing" in capsys.readouterr().err
    (here / "mask.png").unlink()
    (here / "mask.png").symlink_to(mask)
    assert dry(capsys, str(last))["steps"][1]["sources"][1] == f"mask: {here / 'mask.png'}"


def test_a_long_step_that_was_stopped_says_with_which_seed_it_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    mode = MODES["animate"]
    steps = [(None, Step(index=i, total=6, segment=(i + 1) // 2, segments=3)) for i in (1, 2, 3)]
    runner = FakeRunner(mode, manifest(mode), [*steps, GpuError("aborted")])  # type: ignore[list-item]
    monkeypatch.setattr("cli.replaying._runner", lambda turn, machine: runner)
    media.picture(here / "a.png")
    media.clip(here / "c.mp4", frames=9)
    files = {"image": "a.png", "video": "c.mp4"}
    sources = [{"slot": slot, "sha256": sha256(here / name)} for slot, name in files.items()]
    recipe = {"wan_recipe": 1, "steps": [{"mode": "animate", "request": {}, "sources": sources}]}
    Path("r.json").write_text(json.dumps(recipe))
    assert main(["replay", "r.json"]) == 1
    seed = runner.asked[0]["seed"]
    told = capsys.readouterr().err.splitlines()
    kept = "wan-studio: 1 of 3 segments is kept; the same again"
    assert told[-2] == f"{kept} with --set 1.seed={seed} goes on from there"
    assert main(["replay", "r.json", "--set", "seed=5"]) == 1
    assert "the same again goes on from there" in capsys.readouterr().err and runner.asked[1]["seed"] == 5
