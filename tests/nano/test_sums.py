"""A missing, cut or changed file of the embedded weights is an error that names it, never noise."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

import nano
from cli import main as cli
from common.errors import WeightsError
from nano import assemble, sums

ONE = "dense/transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights of our own to damage."""
    folder = shutil.copytree(sums.WEIGHTS, tmp_path / "weights")
    for module in (sums, assemble):
        monkeypatch.setattr(module, "WEIGHTS", folder)
    monkeypatch.setattr(sums, "SUMS", folder / "SHA256SUMS")
    monkeypatch.setenv("WAN_STUDIO_CACHE", str(tmp_path / "cache"))
    sums._sums.cache_clear()
    yield folder
    sums._sums.cache_clear()


def test_the_list_is_that_of_the_files() -> None:
    assert sums.SUMS.read_text() == sums.listed(), "run: python -m nano.sums"


@pytest.mark.parametrize(
    "part",
    [
        "dense/transformer",
        "moe/transformer_2",
        "vae-2.1",
        "text_encoder",
        "tokenizer",
        "clip",
        "clip-processor",
    ],
)
def test_every_part_is_in_the_list(part: str) -> None:
    assert sums.whole_folder(sums.WEIGHTS / part).is_dir()


def missing(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def changed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("harm", [missing, cut, changed])
@pytest.mark.parametrize("name", [ONE, "dense/transformer/config.json", "tokenizer/tokenizer.json"])
def test_a_damaged_file_is_named(copy: Path, harm, name: str) -> None:
    assert nano.find("dense").is_dir()
    harm(copy / name)  # after a first use too
    with pytest.raises(WeightsError, match=f"nano/weights/{name} is (missing|not the file).*git checkout"):
        nano.find("dense")


def test_a_damaged_lora_is_named(copy: Path) -> None:
    cut(copy / "lightning" / "wan_nano_dense_lightning_4step.safetensors")
    with pytest.raises(WeightsError, match="wan_nano_dense_lightning_4step"):
        nano.lora("dense")


def test_the_command_line_ends_with_one_line_and_no_file(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if loaded := sys.modules.get("wan_space_t2v"):  # by an earlier test: a model in memory needs no file
        loaded.service.unload()
    missing(copy / "dense/transformer/diffusion_pytorch_model.safetensors")
    code = cli.main(["generate", "t2v", "a red circle", "--checkpoint", "wan2.1-t2v-1.3b", "--out", "a.mp4"])
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("wan-studio:")]
    assert code == 1 and len(told) == 1 and ONE in told[0]
    assert not (tmp_path / "a.mp4").exists()
