"""A transformer from folders of all names that it is published under."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import WeightsError
from common.runtime.pipelines.s2v import checkpoint, mapping
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from tests.common.runtime.pipelines.s2v import tiny
from tests.common.runtime.pipelines.s2v.seeded import UPSTREAM_CONFIG

OWN_CONFIG = mapping.own_config(UPSTREAM_CONFIG)
FORMS: dict[str, tuple[Callable[[str], str], Mapping[str, Any]]] = {
    "diffusers": (str, OWN_CONFIG),
    "early diffusers": (mapping.early, OWN_CONFIG),
    "upstream": (mapping.upstream, UPSTREAM_CONFIG),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_every_weight_of_a_folder_is_used_and_none_is_left(
    form: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    tiny.write_as(tmp_path / "transformer", *FORMS[form])
    model = WanS2VTransformer3DModel.from_pretrained(tmp_path, subfolder="transformer", torch_dtype=dtype)
    own = tmp_path / "own"
    tiny.model().save_pretrained(own)
    expected = WanS2VTransformer3DModel.from_pretrained(own, torch_dtype=dtype)
    found = dict(model.named_parameters())
    for name, held in expected.named_parameters():
        assert found[name].dtype == held.dtype and torch.equal(found[name], held), name
    assert not model.training
    loaded, wanted = (json.loads(m.to_json_string()) for m in (model, expected))
    assert {**loaded, "_name_or_path": wanted["_name_or_path"]} == wanted


def test_a_single_file_without_an_index_will_do(tmp_path: Path) -> None:
    folder = tiny.write_as(tmp_path / "transformer", *FORMS["upstream"])
    (folder / "diffusion_pytorch_model.safetensors.index.json").unlink()
    assert checkpoint.foreign(folder) == folder
    assert WanS2VTransformer3DModel.from_pretrained(folder).config["num_layers"] == 3


def test_weights_that_are_missing_or_unknown_are_named(tmp_path: Path) -> None:
    form = FORMS["upstream"]
    cut = tiny.write_as(tmp_path / "cut", *form, without="head.modulation")
    with pytest.raises(WeightsError, match=r"misses 1 weights \(head.modulation\)"):
        WanS2VTransformer3DModel.from_pretrained(cut)
    more = tiny.write_as(tmp_path / "more", *form, extra="motioner.token")
    with pytest.raises(WeightsError, match=r"does not know 1 weights \(motioner.token\)"):
        WanS2VTransformer3DModel.from_pretrained(more)


def test_weights_of_another_size_are_an_error(tmp_path: Path) -> None:
    folder = tiny.write_as(tmp_path / "transformer", mapping.upstream, {**UPSTREAM_CONFIG, "ffn_dim": 50})
    with pytest.raises(RuntimeError, match=r"size mismatch for blocks\.0\.ffn"):
        WanS2VTransformer3DModel.from_pretrained(folder)


def test_what_is_no_folder_is_diffusers_to_load(tmp_path: Path) -> None:
    assert checkpoint.foreign("FastVideo/Wan2.2-S2V-14B-Diffusers") is None
    assert checkpoint.foreign(tmp_path) is None
    (tmp_path / "config.json").write_text(json.dumps(OWN_CONFIG))
    with pytest.raises(OSError):
        WanS2VTransformer3DModel.from_pretrained(tmp_path)
