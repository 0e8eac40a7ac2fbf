"""The federation file: eight lines are enough, and every wrong entry is named with a way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from common.modes.all import MODES
from deploy import federation, targets
from deploy.federation import ZEROGPU
from tests.deploy.conftest import Desk


def load(tmp_path: Path, text: str, profile: str | None = None) -> federation.Federation:
    file = tmp_path / "federation.toml"
    file.write_text(text)
    return federation.load(file, profile)


def test_deploy_default_file_fits_a_pro_account() -> None:
    """At most ten ZeroGPU Spaces even once every mode is built; the router on a CPU."""
    file = federation.load()
    assert len(file.spaces) == 10
    assert {s.mode for s in file.spaces} == {"t2v", "i2v", "flf2v", "v2v", "vace", "s2v", "animate"}
    found = targets.resolve(file, "ada")
    assert all(t.hardware == ZEROGPU and t.weights == "wan" for t in found if not t.is_router)
    assert found[-1].is_router and found[-1].hardware == "cpu-basic"
    assert found[-1].variables["WAN_WEIGHTS"] == "wan"
    assert all(len(t.checkpoints) == 1 for t in found if not t.is_router)


def test_deploy_only_modes_with_a_folder_are_pushed(desk: Desk) -> None:
    file = federation.load()
    skipped = federation.skipped(file, desk.root)
    assert skipped["animate"] == "spaces/animate/app.py is not built yet"
    assert {t.mode for t in targets.resolve(file, "ada", desk.root)} == {"t2v", "i2v", None}


def test_deploy_empty_file_is_one_space_a_mode_on_its_best_checkpoint(tmp_path: Path) -> None:
    file = load(tmp_path, "")
    assert [s.mode for s in file.spaces] == list(MODES)
    first = targets.resolve(file, "ada")[0]
    assert (first.repo_id, first.checkpoints) == ("ada/wan-studio-t2v", (MODES["t2v"].checkpoints[0],))
    assert first.variables["WAN_GPU_SIZE"] == "xlarge"


def test_deploy_demo_profile_is_free_hardware_with_nano_weights() -> None:
    found = targets.resolve(federation.load(profile="demo"), "ada")
    assert {t.hardware for t in found} == {"cpu-basic"}
    assert all(t.variables == {"WAN_WEIGHTS": "nano"} for t in found if not t.is_router)


def test_deploy_same_mode_twice_gives_the_router_both(tmp_path: Path, desk: Desk) -> None:
    text = '[[spaces]]\nmode = "t2v"\n[[spaces]]\nmode = "t2v"\nname = "t2v-2.1"\n'
    found = targets.resolve(load(tmp_path, text), "ada", desk.root)
    assert found[-1].variables["WAN_FEDERATION"] == '{"t2v":["ada/wan-studio-t2v","ada/wan-studio-t2v-2.1"]}'


def test_deploy_community_checkpoint_is_on_offer_where_it_is_named(tmp_path: Path) -> None:
    text = '[[spaces]]\nmode = "vace"\ncheckpoints = ["wan2.2-vace-fun-14b"]\n'
    target = targets.resolve(load(tmp_path, text), "ada")[0]
    assert target.variables["WAN_CHECKPOINTS"] == "wan2.2-vace-fun-14b"


def test_deploy_volume_is_mounted_where_the_loader_looks(tmp_path: Path, desk: Desk) -> None:
    text = '[[spaces]]\nmode = "t2v"\nvolumes = ["{namespace}/bf16"]\n'
    target = targets.resolve(load(tmp_path, text), "ada", desk.root)[0]
    assert (target.volumes[0].source, target.volumes[0].mount_path) == ("ada/bf16", "/models/wan2.2-t2v-a14b")
    assert target.variables["WAN_MODELS"] == "/models"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("spaces = 3", "spaces"),
        ("colour = 1", "colour is not an entry of the federation file; known: weights"),
        ("[[spaces]]\nmode = 't3v'", "spaces.0.mode"),
        ("[[spaces]]\nmode = 't2v'\ncheckpoint = 'x'", "spaces.0.checkpoint is not an entry"),
        ("[[spaces]]\nmode = 't2v'\ncheckpoints = ['wan2.1-vace-14b']", "must be checkpoints that t2v runs"),
        ("[[spaces]]\nmode = 't2v'\n[[spaces]]\nmode = 't2v'", "spaces.1.name must be unique"),
        ("[[spaces]]\nmode = 't2v'\nvisibility = 'private'", "needs a router that may read it"),
        ("[[spaces]]\nmode = 't2v'\nsleep_seconds = 60", "cannot be chosen on zero-a10g"),
        ("[[spaces]]\nmode = 't2v'\nweights = 'tiny'", "spaces.0.weights"),
        (
            "[[spaces]]\nmode = 't2v'\nvariables = {WAN_WEIGHTS = 'nano'}",
            "spaces.0.variables.WAN_WEIGHTS is set from weights; give weights instead",
        ),
        ("namespace = 'a b'", "namespace"),
        ("= 1", "federation.toml must be TOML"),
    ],
)
def test_deploy_wrong_entries_are_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert words in error.value.text


def test_deploy_pasted_secret_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, '[router]\nsecrets = {WAN_READ_TOKEN = "hf_abcdef"}')
    assert "hf_abcdef" not in error.value.text and "never the secret itself" in error.value.text


@pytest.mark.parametrize("name", ["WAN_ADMIN", "WAN_READ_TOKEN"])
@pytest.mark.parametrize("table", ['[[spaces]]\nmode = "t2v"', "[router]"])
def test_deploy_a_secret_is_never_a_variable(tmp_path: Path, table: str, name: str) -> None:
    with pytest.raises(InputError, match=f"must not hold {name}: anybody can read.*under secrets") as error:
        load(tmp_path, f'{table}\nvariables = {{{name} = "0123456789abcdef0123"}}')
    assert "0123456789abcdef0123" not in error.value.text


def test_deploy_unknown_profile_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got 'prod', try demo"):
        federation.load(profile="prod")
    with pytest.raises(InputError, match="must be a readable file"):
        federation.load(tmp_path / "none.toml")
