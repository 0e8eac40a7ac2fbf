"""Bundles: complete, free of what does not belong in them, and the same bytes every time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

import nano
from common.catalog import CHECKPOINTS
from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from common.runtime.model import index
from deploy import bundle, federation, front_matter, requirements, targets
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.targets import Target
from deploy.trace import closure
from tests.deploy.conftest import Desk


def built(desk: Desk, name: str, **changes: object) -> bundle.Bundle:
    target = next(t for t in desk.targets() if t.name == name)
    return bundle.build(replace(target, **changes), desk.root)  # type: ignore[arg-type]


def test_bundle_is_deterministic(desk: Desk, tmp_path: Path) -> None:
    """The same commit in another folder gives the same bytes; writing it twice changes nothing."""
    other = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(desk.root), str(other)], check=True)
    for target in desk.targets():
        assert bundle.build(target, desk.root).files == bundle.build(target, other).files


def test_bundle_holds_what_the_app_imports_and_no_more(desk: Desk) -> None:
    assert set(built(desk, "i2v").files) == {
        "README.md",
        "app.py",
        "bundle.json",
        "common/__init__.py",
        "common/contract.py",
        "common/table.json",
        "i2v_engine.py",
        "requirements.txt",
    }
    assert {"common/heavy.py", "nano/__init__.py"} <= set(built(desk, "t2v").files)


def test_bundle_has_nano_weights_only_where_asked(desk: Desk) -> None:
    path = "nano/weights/dense/model.safetensors"
    assert path in built(desk, "t2v", weights="nano").files
    assert path not in built(desk, "t2v", weights="wan", checkpoints=("wan2.1-t2v-14b",)).files


def test_bundle_of_the_router_has_no_torch(desk: Desk) -> None:
    files = built(desk, "router").files
    assert {"app.py", "router/__init__.py", "router/app.py", "common/contract.py"} <= set(files)
    assert "torch" not in files["requirements.txt"].decode()
    desk.write("router/app.py", "from common import heavy\n")
    with pytest.raises(DeployError, match=r"free of torch; common/heavy.py imports it"):
        built(desk, "router")


def test_bundle_requirements_are_pinned_and_leave_out_the_platform(desk: Desk) -> None:
    """torch is ZeroGPU's newest, not the laptop's; the rest is what constraints.txt was tested with."""
    lines = built(desk, "t2v").files["requirements.txt"].decode().splitlines()
    assert lines == ["torch==2.11.0", "av==18.1.0"]
    for name in ("gradio", "spaces", "huggingface_hub>=2"):
        desk.write("spaces/t2v/requirements.txt", f"torch\nav\n{name}\n")
        with pytest.raises(DeployError, match="the Space brings its own"):
            built(desk, "t2v")
    desk.write("spaces/t2v/requirements.txt", "torch\n")
    with pytest.raises(DeployError, match=r"must name av: nano/__init__.py imports av"):
        built(desk, "t2v")
    desk.write("spaces/t2v/requirements.txt", "torch\nav\nlibrosa\n")
    with pytest.raises(DeployError, match="librosa must have a version"):
        built(desk, "t2v")


def test_bundle_may_import_late_what_is_not_tested_here(desk: Desk) -> None:
    """An extra such as onnxruntime; but torch in a function is torch all the same."""
    desk.write("spaces/i2v/i2v_engine.py", "import av\n\ndef pose():\n    import onnxruntime\n")
    assert built(desk, "i2v").files["requirements.txt"] == b"av==18.1.0\n"
    desk.write("spaces/i2v/i2v_engine.py", "import av\n\ndef pose():\n    import torch\n")
    with pytest.raises(DeployError, match="must name torch"):
        built(desk, "i2v")
    desk.write("router/app.py", "def late():\n    import torch\n")
    with pytest.raises(DeployError, match="free of torch"):
        built(desk, "router")


def test_bundle_sha_is_of_its_own_files_and_says_dirty(desk: Desk) -> None:
    first = desk.commit_touching("common/contract.py", "NAME = 'x'\n")
    desk.commit_touching("common/unused.py", "import einops as e\n")
    assert built(desk, "i2v").manifest["git_sha"] == first
    desk.write("common/contract.py", "NAME = 'not committed'\n")
    assert built(desk, "i2v").manifest["git_sha"].endswith("-dirty")


def test_bundle_manifest_says_what_it_is(desk: Desk) -> None:
    manifest = built(desk, "t2v").manifest
    assert (manifest["mode"], manifest["contract"], len(manifest["content"])) == ("t2v", CONTRACT_VERSION, 64)
    assert manifest["variables"] == {"WAN_WEIGHTS": "nano"}


def test_bundle_refuses_code_that_does_not_parse_and_files_that_are_too_big(desk: Desk) -> None:
    desk.write("common/movie.mp4", "x" * (bundle.MAX_FILE + 1))
    with pytest.raises(DeployError, match="under 10 MB"):
        built(desk, "t2v")
    desk.write("common/contract.py", "def (\n")
    with pytest.raises(DeployError, match=r"common/contract.py line 1 must be valid Python"):
        built(desk, "t2v")


@pytest.mark.parametrize("profile", [None, "demo"])
def test_bundle_front_matter_is_what_the_hub_takes(profile: str | None) -> None:
    """Every Space of this checkout, whatever modes it has by now."""
    for target in targets.resolve(federation.load(profile=profile), "ada"):
        text = front_matter.readme(target)
        fields = yaml.safe_load(text.split("---\n")[1])
        assert fields["sdk_version"] == requirements.gradio_version()
        assert (fields["sdk"], fields["python_version"], fields["app_file"]) == ("gradio", "3.12", "app.py")
        assert 0 < len(fields["short_description"]) <= 60
        assert len(fields["title"]) > 4 and fields["emoji"]
        assert ("models" in fields) == (target.weights == "wan" and not target.is_router)


def test_bundle_short_descriptions_are_cut_at_a_word() -> None:
    text = front_matter.shorten("one " * 30)
    assert len(text) <= 60 and text.endswith("one…")


def real_targets() -> list[Target]:
    return targets.resolve(federation.load(profile="demo"), "ada")


def test_bundle_has_the_classes_that_an_index_names() -> None:
    """They are imported by name, which no trace of imports follows."""
    target = next(t for t in real_targets() if t.mode == "s2v")
    named = {Path(*module.split(".")).with_suffix(".py").as_posix() for module, _ in index.OURS.values()}
    assert named <= bundle.build(target).files.keys()


@pytest.mark.parametrize("target", real_targets(), ids=lambda t: t.name)
def test_bundle_of_this_checkout_stands_alone(target: Target, tmp_path: Path) -> None:
    """Whatever the app imports of ours is in the bundle, and the platform's packages are not required."""
    made = bundle.build(target)
    assert made.files == bundle.build(target).files
    folder = made.write(tmp_path)
    assert sum(len(d) for d in made.files.values()) < 60e6
    found = closure(folder, [folder / ("router/app.py" if target.is_router else "app.py")])
    assert {f.relative_to(folder).as_posix() for f in found.files} <= set(made.files)
    lines = made.files["requirements.txt"].decode().splitlines()
    assert not {canonicalize_name(x.split("=")[0]) for x in lines} & set(requirements.PLATFORM)
    if target.is_router:
        assert not any(f.startswith("common/runtime/") for f in made.files)
        assert not any(x.startswith(("torch", "diffusers", "transformers")) for x in lines)
    assert json.loads(made.files["bundle.json"])["space"] == target.name


def files_of(name: str) -> set[str]:
    return set(bundle.build(next(t for t in real_targets() if t.name == name)).files)


def test_bundle_of_a_mode_has_no_other_modes_files() -> None:
    """Named after a mode, or read by another mode alone: all of them stay out."""
    files = files_of("t2v")
    for folder in ("common/modes", "common/panels", "spaces"):
        others = {f"{folder}/{key}" for key in MODES if key != "t2v"} | {f"{folder}/all"}
        assert not {f for f in files if f.removesuffix(".py") in others}
    for part in ("annotate", "control", "examples", "modes/submodes", "panels/mask", "panels/drawing"):
        assert not {f for f in files if f.startswith(f"common/{part}")}, part
    kinds = {f.split("/")[2] for f in files if f.startswith("nano/weights/") and "/transformer" in f}
    assert kinds == {CHECKPOINTS[key].kind for key in MODES["t2v"].checkpoints}
    assert not {f for f in files if "lightning" in f and "i2v" in f}
    assert not {f for f in files if f.startswith(("nano/train", "nano/judge", "router/", "cli/", "deploy/"))}


WHOLE = """
from common.catalog import CHECKPOINTS, LORAS
from common.runtime.model import weights, whole
for key in {keys!r}:
    row = CHECKPOINTS[key]
    assert whole.is_whole(weights.resolve(row, "nano", print))
    for name in {{n for preset in row.presets.values() for n in preset.loras}} | ({extra!r} if row.moe else set()):
        assert all(path.is_file() for _, path in weights.resolve_lora(LORAS[name], row, "nano", print))
"""


@pytest.mark.parametrize("target", [t for t in real_targets() if t.mode], ids=lambda t: t.name)
def test_bundle_has_the_weights_of_all_its_checkpoints_and_loras(target: Target, tmp_path: Path) -> None:
    folder = bundle.build(target).write(tmp_path / "bundle")
    extra = {"hybrid-2.2-i2v"} if target.mode == "i2v" else set()
    rows = [row for row in MODES[target.mode].rows() if row.kind in nano.KINDS]  # type: ignore[index]
    code = WHOLE.format(keys=[row.key for row in rows], extra=extra)
    env = {**os.environ, "PYTHONPATH": "", "WAN_STUDIO_CACHE": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def test_bundle_has_the_pictures_of_its_own_examples() -> None:
    shown = {f for f in files_of("flf2v") if f.startswith("common/examples/")}
    assert "common/examples/red-circle-end.png" in shown
    assert "common/examples/red-circle.mp4" not in shown, "VACE and V2V show it"
    assert {f"common/examples/{f.name}" for f in (ROOT / "common" / "examples").iterdir()} <= files_of(
        "router"
    )


def test_bundle_of_others_stays_as_it_is_when_the_panel_of_one_is_edited(tmp_path: Path) -> None:
    for name in ("common", "nano", "router", "spaces", "deploy"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)

    def contents() -> dict[str, str]:
        return {t.name: bundle.build(t, tmp_path).manifest["content"] for t in real_targets()}

    before = contents()
    with (tmp_path / "common" / "panels" / "vace.py").open("a") as file:
        file.write("\n# edited\n")
    after = contents()
    assert {name for name in before if before[name] != after[name]} == {"vace", "router"}
