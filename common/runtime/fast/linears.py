"""Weights of blocks in 8 bits, by torchao: alone, or to be multiplied with activations in 8 bits."""

from __future__ import annotations

from typing import Any

import torch

EXACT = ".attn2."
"""What looks at the prompt: its activations stay as they are. In 8 bits they lose most (published)."""


def quantize(transformer: Any, device: str, *, products: bool) -> None:
    """Codes the linear layers of all blocks, on `device`.

    With `products` they multiply 8 bits with 8 bits. Uncompiled, that holds 10.6 GB more at 720p (a 14B on an H100,
    2026-11-26). torchao's advice for the compiler is not taken: with it a block compiles in 118 s instead of 5, and
    runs as fast.
    """
    from torchao.quantization import (
        Float8DynamicActivationFloat8WeightConfig,
        Float8WeightOnlyConfig,
        PerRow,
        quantize_,
    )

    def linear(module: Any, name: str) -> bool:
        # Unfiltered, the error is three times as large; a LoRA stays as it is.
        return (
            isinstance(module, torch.nn.Linear)
            and name.startswith(("blocks.", "vace_blocks."))
            and "lora_" not in name
        )

    if products:
        both = Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False)
        quantize_(
            transformer, both, filter_fn=lambda m, name: linear(m, name) and EXACT not in name, device=device
        )
    alone = Float8WeightOnlyConfig(set_inductor_config=False)
    quantize_(
        transformer, alone, filter_fn=lambda m, name: linear(m, name) and (not products or EXACT in name),
        device=device,
    )  # fmt: skip
