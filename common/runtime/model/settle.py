"""Gives a loaded pipeline the form that its placement asks for: 8-bit weights, blocks that wait outside the GPU."""

from __future__ import annotations

from typing import Any

import torch

from common.contract import Backend, Placement

TRANSFORMERS = ("transformer", "transformer_2")


def waiting(placement: Placement) -> frozenset[str]:
    """The parts that are loaded into the machine's own memory first: as they are, they may not fit the GPU."""
    if placement.offload == "group":
        return frozenset({*TRANSFORMERS, "text_encoder"})
    return frozenset(TRANSFORMERS if placement.precision["transformer"] == "float8" else ())


def settle(pipe: Any, placement: Placement, backend: Backend) -> None:
    """To be called once, after all LoRAs are attached: what comes later would meet weights that it does not know."""
    found = [getattr(pipe, name, None) for name in TRANSFORMERS]
    for transformer in (m for m in found if m is not None):
        if placement.precision["transformer"] == "float8":
            _quantize(transformer, backend)
        if placement.offload == "group":
            _group(transformer, backend.device, "block_level")
        elif waiting(placement):
            transformer.to(backend.device)
    if placement.offload == "group":
        _group(pipe.text_encoder, backend.device, "leaf_level")


def _quantize(transformer: Any, backend: Backend) -> None:
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, PerTensor, quantize_

    def linear(module: Any, name: str) -> bool:
        # Unfiltered, the error is three times as large; a LoRA stays as it is.
        return isinstance(module, torch.nn.Linear) and name.startswith("blocks.") and "lora_" not in name

    # PerRow failed on Blackwell (pytorch #192707), and Ada has none.
    hopper = backend.capability is not None and backend.capability[0] == 9
    config = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow() if hopper else PerTensor())
    # ZeroGPU lends its GPU later: what is made now is made on the CPU, and packed.
    quantize_(transformer, config, filter_fn=linear, device="cpu" if backend.gpu_size else backend.device)


def _group(module: Any, device: str, kind: str) -> None:
    from diffusers.hooks.group_offloading import apply_group_offloading

    blocks: dict[str, Any] = {"num_blocks_per_group": 1} if kind == "block_level" else {}
    apply_group_offloading(
        module, onload_device=torch.device(device), offload_device=torch.device("cpu"), offload_type=kind,
        use_stream=device == "cuda", **blocks,
    )  # fmt: skip
