"""What a plan says that a new worker of ZeroGPU is sent, against tensors of the real sizes on the meta device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from bench import full_size
from bench.gpu.forward import TARGETS
from common.catalog import CHECKPOINTS, LORAS
from common.memory import Shape
from common.placement import Job, place, zerogpu
from common.runtime.fast import linears
from common.runtime.model import index, table


@pytest.mark.parametrize("key", ["wan2.2-t2v-a14b", "wan2.2-i2v-a14b"])
def test_sent_is_what_the_parts_of_a_repack_in_8_bits_take(key: str, tmp_path: Path) -> None:
    row = CHECKPOINTS[key]
    folder = full_size.folder(row, tmp_path / key)
    entries = index.read(folder)[1]
    sent = 0
    for name in ("text_encoder", "vae"):
        module = full_size.module(folder / name, entries[name], "meta")
        sent += size(table.outside(module) if name == "text_encoder" else module)
    lora = row.presets["fast"].loras[0]
    for file in LORAS[lora].files:
        module = full_size.module(folder / file.target, entries[file.target], "meta")
        linears.quantize(module, None)
        sent += size(module) + size(with_lora(module, file.rank), only=".lora_")
    placed = place(row, "wan", repacked(key), Job(Shape(832, 480, 81), reads_media=True, loras=(lora,)))
    assert placed is not None
    assert placed.weight_bytes == pytest.approx(sent, rel=0.004)  # the timestep's layers stay in fp32
    assert sent <= 41e9


def repacked(key: str) -> Any:
    return zerogpu("xlarge").model_copy(update={"in_8_bits": [key]})


def with_lora(module: Any, rank: int) -> Any:
    from peft import LoraConfig

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # as the files are
    try:
        with torch.device("meta"):
            module.add_adapter(LoraConfig(r=rank, target_modules=TARGETS))
    finally:
        torch.set_default_dtype(before)
    return module


def size(module: Any, only: str = "") -> int:
    """Bytes of its parameters and buffers; of 8-bit weights those of the codes and of their scales."""
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return sum(_bytes(tensor) for name, tensor in tensors if only in name)


def _bytes(tensor: Any) -> int:
    if is_traceable_wrapper_subclass(tensor):
        return sum(_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return tensor.numel() * tensor.element_size()
