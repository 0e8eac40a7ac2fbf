"""Gives a loaded pipeline the form of its placement: 8-bit weights, compiled blocks, blocks that wait outside."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import torch

from common.contract import Backend, Placement
from common.errors import WeightsError
from common.runtime.fast import attention, blocks, integers, linears, merged
from common.runtime.model import table
from common.runtime.model.load import TRANSFORMERS
from common.runtime.model.move import move

_grouped: WeakSet[Any] = WeakSet()
"""Modules that have their hooks: a text encoder that outlives a swap must not get them twice."""


def waiting(placement: Placement, backend: Backend) -> frozenset[str]:
    """The parts that are loaded into the machine's own memory first: as they are, they may not fit the GPU.

    On ZeroGPU not all of them goes on to it: each new worker waits for what does.
    """
    if placement.offload == "group" or backend.gpu_size:
        return frozenset({*TRANSFORMERS, "text_encoder"})
    return frozenset(TRANSFORMERS if placement.precision["transformer"] == "float8" else ())


def settle(pipe: Any, placement: Placement, backend: Backend) -> None:
    """To be called once, after all LoRAs are attached: what comes later would meet weights that it does not know."""
    found = [getattr(pipe, name, None) for name in TRANSFORMERS]
    for transformer in (m for m in found if m is not None):
        planned = placement.precision["transformer"] == "float8"
        if _in_8_bits(transformer) and not planned and backend.device != "cuda":
            raise WeightsError(
                f"the weights are a repack in 8 bits, which {backend.name} does not know; mount one in bf16 "
                "(`wan-studio deploy bake` without --fp8), or take WAN_MODELS away to download the original"
            )
        if planned and not _in_8_bits(transformer):
            # ZeroGPU lends its GPU later: what is made now is made on the CPU, and packed.
            device = "cpu" if backend.gpu_size else backend.device
            linears.quantize(transformer, device)
        if placement.offload == "group":
            _group(transformer, backend.device, "block_level")
        elif waiting(placement, backend):
            # Of ZeroGPU's LoRAs a worker fetches what its job asks for, and no other.
            move(transformer, backend.device, but=".lora_" if backend.gpu_size else "")
        if placement.compile != "none":
            linears.multiply(transformer)
            fa3 = placement.attention == "fa3-8-bit"
            blocks.quicken(transformer, *(attention.fa3() if fa3 else (attention.plain, None)))
            blocks.compiled(transformer)
            if getattr(transformer, "peft_config", None):
                merged.keep(transformer)
        elif placement.attention == "int8":
            blocks.attend(transformer, attention.plain, integers.kernel())
    if placement.offload == "group":
        _group(pipe.text_encoder, backend.device, "leaf_level")
    elif backend.gpu_size:
        move(table.outside(pipe.text_encoder), backend.device)


def _in_8_bits(transformer: Any) -> bool:
    """Loaded so: `deploy bake --fp8` has written it."""
    return getattr(transformer, "hf_quantizer", None) is not None


def _group(module: Any, device: str, kind: str) -> None:
    from diffusers.hooks.group_offloading import apply_group_offloading

    if module in _grouped:
        return
    _grouped.add(module)
    blocks: dict[str, Any] = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    apply_group_offloading(
        module, onload_device=torch.device(device), offload_device=torch.device("cpu"), offload_type=kind,
        use_stream=device == "cuda", **blocks,
    )  # fmt: skip
