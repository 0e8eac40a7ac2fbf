"""A cut file is found by name, without a network."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from common.runtime.model import whole
from tests.common.runtime.model.tiny_rows import copied


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return copied("moe", tmp_path / "m")


def cut(file: Path, keep: int) -> None:
    file.write_bytes(file.read_bytes()[:keep])


WEIGHTS = "transformer_2/diffusion_pytorch_model.safetensors"
CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "config": (
        lambda f: cut(f / "transformer/config.json", 290),
        r"transformer/config.json is cut .*290 bytes",
    ),
    "index": (lambda f: cut(f / "model_index.json", 40), r"model_index.json is cut or no JSON \(40 bytes\)"),
    "vocabulary": (lambda f: cut(f / "tokenizer/tokenizer.json", 100), "tokenizer/tokenizer.json is cut"),
    "list": (lambda f: (f / "vae/config.json").write_text("[]"), "vae/config.json is not what belongs there"),
    "tensors": (lambda f: cut(f / WEIGHTS, 100_000), f"{WEIGHTS} has 100000 bytes, and its header says"),
    "header": (lambda f: cut(f / WEIGHTS, 100), f"{WEIGHTS} is cut or no safetensors"),
    "empty": (lambda f: cut(f / WEIGHTS, 0), f"{WEIGHTS} is cut .*0 bytes"),
    "pointer": (
        lambda f: (f / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\n"),
        "is cut or no",
    ),
    "tail": (lambda f: (f / WEIGHTS).open("ab").write(b"more"), f"{WEIGHTS} has"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_cut_is_named(folder: Path, case: str) -> None:
    assert whole.is_whole(folder)
    spoil, text = CASES[case]
    spoil(folder)
    fault = whole.fault(folder)
    assert fault is not None and not fault.missing and fault.file is not None
    with pytest.raises(AssertionError, match=text):
        raise AssertionError(fault.text)


def test_what_is_missing_is_known_from_what_was_cut(folder: Path) -> None:
    for name in ("scheduler", "vae/config.json", WEIGHTS, "model_index.json"):
        there = folder / name
        kept = folder.parent / "kept"
        there.rename(kept)
        fault = whole.fault(folder)
        assert fault is not None and fault.missing and name.split("/")[0] in fault.text
        kept.rename(there)
    assert whole.is_whole(folder)


def test_a_missing_shard_is_named(folder: Path) -> None:
    index = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "diffusion_pytorch_model-00002-of-00002.safetensors"}}))
    fault = whole.fault(folder)
    assert fault is not None and fault.missing
    assert fault.text == "transformer/diffusion_pytorch_model-00002-of-00002.safetensors is not there"
    index.write_text('{"weight_map": []}')
    fault = whole.fault(folder)
    assert fault is not None and "names no shards" in fault.text


def test_a_list_is_json_too(folder: Path) -> None:
    (folder / "tokenizer" / "words.json").write_text('["a", "b"]')
    assert whole.is_whole(folder)


def test_a_part_that_the_index_does_not_name_is_not_asked_for(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"transformer_2": [None, None], "odd": []}))
    shutil.rmtree(folder / "transformer_2")
    assert whole.is_whole(folder)
