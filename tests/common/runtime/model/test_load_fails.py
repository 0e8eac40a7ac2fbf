"""A part that cannot be loaded says why, and leaves nothing behind for the next one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel

from common.contract import Backend
from common.errors import GpuError, WeightsError
from common.runtime.model import load

ENTRY = ["diffusers", "WanTransformer3DModel"]


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "dtype_of", lambda part, device: torch.bfloat16)
    load.part(folder, ENTRY, Backend())


def test_a_constructor_that_fails_leaves_the_default_format_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = {"_class_name": "WanTransformer3DModel", "num_attention_heads": -1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "diffusion_pytorch_model.safetensors").write_bytes(b"")
    with pytest.raises(WeightsError):
        loaded(tmp_path, monkeypatch)
    assert torch.rand(1).dtype == torch.float32


@pytest.mark.parametrize("error", [
    RuntimeError("MPS backend out of memory (MPS allocated: 99 GiB)"), torch.OutOfMemoryError("CUDA out of memory"),
])  # fmt: skip
def test_mps_and_cuda_without_room_are_no_broken_weights(
    error: RuntimeError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(WanTransformer3DModel, "from_pretrained", full)
    with pytest.raises(GpuError, match="Out of memory while loading"):
        loaded(tmp_path, monkeypatch)
