"""Weights of blocks in 8 bits, by torchao: alone, or to be multiplied with activations in 8 bits."""

from __future__ import annotations

from typing import Any

import torch


def quantize(transformer: Any, device: str | None) -> None:
    """Codes the weights of the linear layers of all blocks, on `device`, or where they are.

    torchao's advice for the compiler is not taken: with it a block compiles in 118 s instead of 5, and runs as fast.
    """
    from torchao.quantization import Float8WeightOnlyConfig, quantize_

    quantize_(transformer, Float8WeightOnlyConfig(set_inductor_config=False), filter_fn=_plain, device=device)


def multiply(transformer: Any) -> None:
    """Has layers whose weights are in 8 bits round what they are multiplied with too.

    Those that look at the prompt as well: that changed no more of Wan-Nano's clips (`bench.rounding`).

    For blocks that are compiled: uncompiled it holds 10.6 GB more at 720p (a 14B on an H100, 2026-11-26).
    """
    from torchao.quantization import Float8MMConfig, PerRow
    from torchao.quantization.quantize_.workflows import QuantizeTensorToFloat8Kwargs

    for module in transformer.modules():
        weight: Any = getattr(module, "weight", None)
        if hasattr(weight, "act_quant_kwargs"):
            weight.act_quant_kwargs = QuantizeTensorToFloat8Kwargs(granularity=PerRow())
            weight.mm_config = Float8MMConfig(use_fast_accum=True)


def _plain(module: Any, name: str) -> bool:
    # Unfiltered, the error is three times as large; a LoRA stays as it is.
    return (
        isinstance(module, torch.nn.Linear)
        and name.startswith(("blocks.", "vace_blocks."))
        and "lora_" not in name
    )
