"""`--weights wan` says what it downloads, and ends in a clear line when it cannot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import nano
from common import hub
from common.catalog import CHECKPOINTS, LORAS
from common.errors import WeightsError
from common.runtime.model import weights, whole
from common.settings import SpaceSettings
from tests.common.runtime.model.tiny_rows import change, copied, shrink

DENSE = CHECKPOINTS["wan2.1-t2v-1.3b"]


@pytest.mark.parametrize("values", [{"HF_ENDPOINT": "http://127.0.0.1:9"}, {"HF_HUB_OFFLINE": "1"}])
def test_without_a_hub_the_error_comes_within_seconds(tmp_path, values):
    code = (
        "from common.catalog import CHECKPOINTS; from common.runtime.model import weights\n"
        "try: weights.resolve(CHECKPOINTS['wan2.1-t2v-1.3b'], 'wan', lambda t: print('SAID', t))\n"
        "except Exception as e: print(type(e).__name__, e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **values, "HF_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[4], capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said, failed = done.stdout.splitlines()
    assert said.startswith("SAID Downloading Wan 2.1 T2V-1.3B, about 28.9 GB") and DENSE.repo in said
    assert failed.startswith("WeightsError Wan 2.1 T2V-1.3B:")
    assert "cannot be reached" in failed or "HF_HUB_OFFLINE" in failed


def test_a_full_cache_is_used_without_a_word(tmp_path, monkeypatch):
    folder = _fake_cache(tmp_path, DENSE.repo, nano.find("dense"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    said: list[str] = []
    import huggingface_hub

    real = huggingface_hub.snapshot_download
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *a, **k: real(*a, cache_dir=tmp_path, **k)
    )
    shrink(monkeypatch)
    row = CHECKPOINTS[DENSE.key]
    assert weights.resolve(row, "wan", said.append) == folder
    assert said == [] and weights.revision(folder, "wan") == "0" * 40
    # A pinned commit that is not in the cache is not taken for the one that is.
    with pytest.raises(WeightsError, match="nothing is downloaded while a GPU is paid for"):
        weights.resolve(replace(row, revision="a" * 40), "wan", None)
    assert weights.resolve(replace(row, revision="0" * 40), "wan", None) == folder


def test_a_cut_file_in_the_cache_is_an_error_not_a_download(tmp_path, monkeypatch):
    folder = copied("dense", tmp_path / "snapshots" / "x")
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:50_000])
    monkeypatch.setattr(hub, "cached", lambda repo, revision, patterns: folder)
    said: list[str] = []
    with pytest.raises(
        WeightsError, match=r"has 50000 bytes, and its header says \d+\. Delete .*model\.safetensors"
    ):
        weights.resolve(DENSE, "wan", said.append)
    assert said == []


def test_a_repository_that_changed_is_not_loaded_from_the_cache(tmp_path, monkeypatch):
    folder = copied("dense", tmp_path / "snapshots" / "x")
    shrink(monkeypatch)
    monkeypatch.setattr(hub, "cached", lambda repo, revision, patterns: folder)
    assert weights.resolve(CHECKPOINTS[DENSE.key], "wan", None) == folder
    change(folder / "transformer" / "config.json", num_layers=9)
    with pytest.raises(
        WeightsError, match=rf"{DENSE.repo} is not .*: transformer has num_layers 9, expected 5"
    ):
        weights.resolve(CHECKPOINTS[DENSE.key], "wan", None)


def test_an_incomplete_folder_is_noticed(tmp_path):
    folder = tmp_path / "m"
    shutil.copytree(nano.find("dense"), folder)
    assert whole.is_whole(folder)
    index = {"weight_map": {"a": "missing-00001-of-00002.safetensors"}}
    shards = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    shards.write_text(json.dumps(index))
    assert not whole.is_whole(folder)
    shards.write_text("{truncated")
    assert not whole.is_whole(folder)
    shards.unlink()
    shutil.rmtree(folder / "vae")
    assert not whole.is_whole(folder)


def test_a_full_disk_is_seen_before_the_download(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 5))
    with pytest.raises(WeightsError, match=r"needs 28\.9 GB more"):
        weights._check_space(28_900_000_000, tmp_path / "hub", DENSE)


def test_nano_gives_every_lora_file_of_its_kind():
    lora, checkpoint = LORAS["lightning-2.2-i2v"], CHECKPOINTS["wan2.2-i2v-a14b"]
    found = dict(weights.resolve_lora(lora, checkpoint, "nano", print))
    assert set(found) == {"transformer", "transformer_2"}
    assert all(path.is_file() for path in found.values())


def _fake_cache(root: Path, repo: str, source: Path) -> Path:
    base = root / f"models--{repo.replace('/', '--')}"
    folder = base / "snapshots" / ("0" * 40)
    shutil.copytree(source, folder)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("0" * 40)
    return folder


def test_a_mounted_volume_is_taken_before_the_hub_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shrink(monkeypatch)
    checkpoint = CHECKPOINTS["wan2.1-t2v-1.3b"]
    (tmp_path / checkpoint.key).symlink_to(nano.find("dense"))
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    said: list[str] = []
    assert weights.resolve(checkpoint, "wan", said.append) == tmp_path / checkpoint.key
    assert said == []


@pytest.mark.parametrize("how", ["cut short", "a config cut", "not mounted"])
def test_a_mounted_volume_that_is_not_whole_is_no_reason_to_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, t2v: Any
) -> None:
    checkpoint = CHECKPOINTS["wan2.1-t2v-1.3b"]
    root = tmp_path / "models"
    if how == "cut short":
        (root / checkpoint.key).mkdir(parents=True)
        (root / checkpoint.key / "model_index.json").write_text('{"vae": ["diffusers", "AutoencoderKLWan"]}')
    if how == "a config cut":
        file = copied("dense", root / checkpoint.key) / "transformer" / "config.json"
        file.write_bytes(file.read_bytes()[:290])
    monkeypatch.setenv("WAN_MODELS", str(root))
    said: list[str] = []
    what = {
        "cut short": "not whole: vae/ is not there",
        "a config cut": r"not whole: transformer/config.json is cut or no JSON \(290 bytes\)",
        "not mounted": "not there",
    }
    text = rf"mounted at .* are {what[how]}; .* bake wan2.1-t2v-1.3b"
    with pytest.raises(WeightsError, match=text):
        weights.resolve(checkpoint, "wan", said.append)
    assert said == []
    with pytest.raises(WeightsError, match=text):  # and when the Space starts
        type(t2v)(SpaceSettings(weights="wan", checkpoints=(checkpoint.key,)))


def test_a_volume_of_another_commit_than_the_pinned_one_is_refused(tmp_path, monkeypatch):
    shrink(monkeypatch)
    row = CHECKPOINTS[DENSE.key]
    folder = copied("dense", tmp_path / row.key)
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    assert weights.revision(weights.resolve(row, "wan", None), "wan") == ""
    origin = {"repository": row.repo, "revision": "b" * 40, "form": "bf16"}
    (folder / weights.ORIGIN).write_text(json.dumps(origin))
    assert weights.revision(weights.resolve(row, "wan", None), "wan") == "b" * 40 + "+bf16"
    weights.resolve(replace(row, revision="b" * 40), "wan", None)
    with pytest.raises(WeightsError, match="are of bbbbbbbbbbbb, not of aaaaaaaaaaaa, which is pinned"):
        weights.resolve(replace(row, revision="a" * 40), "wan", None)


def test_zerogpu_never_downloads_in_a_worker(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub, "cached", lambda repo, revision, patterns: None)
    with pytest.raises(WeightsError, match=r"Wan 2.1 T2V-1.3B .* restart the Space"):
        weights.resolve(DENSE, "wan", None)
    with pytest.raises(WeightsError, match=r"The LoRA Lightx2v/.* restart the Space"):
        weights.resolve_lora(LORAS["lightning-2.1-t2v"], CHECKPOINTS["wan2.1-t2v-14b"], "wan", None)


def test_what_is_not_mounted_beside_others_is_downloaded_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_MODELS", str(tmp_path))
    monkeypatch.setattr(hub, "cached", lambda repo, revision, patterns: None)
    monkeypatch.setattr(weights, "fetch", lambda checkpoint, say: tmp_path)
    assert weights.resolve(CHECKPOINTS["wan2.1-t2v-1.3b"], "wan", print) == tmp_path
