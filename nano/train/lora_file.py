"""Lightning-Nano files in the key format of the real lightx2v and Kijai files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

RANK = 8

# diffusers' name of a linear layer inside a block, and the name in the original Wan code.
_NAMES = {
    **{f"attn1.to_{a}": f"self_attn.{b}" for a, b in (("q", "q"), ("k", "k"), ("v", "v"), ("out.0", "o"))},
    **{f"attn2.to_{a}": f"cross_attn.{b}" for a, b in (("q", "q"), ("k", "k"), ("v", "v"), ("out.0", "o"))},
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}


def target_layers(transformer: Any) -> dict[str, str]:
    """The linear layers that a Lightning file changes: diffusers' full name to the file's name."""
    found: dict[str, str] = {}
    for index, block in enumerate(transformer.blocks):
        present = dict(block.named_modules())
        for ours, theirs in _NAMES.items():
            if present.get(ours) is not None:
                found[f"blocks.{index}.{ours}"] = f"diffusion_model.blocks.{index}.{theirs}"
    return found


def save(path: Path, transformer: Any, pairs: dict[str, tuple[Tensor, Tensor]], rank: int = RANK) -> None:
    """Writes {diffusers layer name: (down, up)} in the original names, in fp16, cut to `rank` where it is more."""
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    for ours, theirs in target_layers(transformer).items():
        down, up = _cut(*pairs[ours], rank)
        tensors[f"{theirs}.lora_down.weight"] = down.detach().half().cpu().contiguous()
        tensors[f"{theirs}.lora_up.weight"] = up.detach().half().cpu().contiguous()
        tensors[f"{theirs}.alpha"] = torch.tensor(float(len(down))).half()  # scale 1
    save_file(tensors, path)


def _cut(down: Tensor, up: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The nearest pair of that rank, by singular values."""
    if len(down) <= rank:
        return down, up
    left, values, right = torch.linalg.svd(up.detach().float() @ down.detach().float(), full_matrices=False)
    root = values[:rank].sqrt()
    return root[:, None] * right[:rank], left[:, :rank] * root


def read(path: Path, transformer: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """The {diffusers layer name: (down, up)} that `save` wrote."""
    from safetensors.torch import load_file

    tensors = load_file(path)
    names = target_layers(transformer).items()
    return {
        ours: (tensors[f"{theirs}.lora_down.weight"].float(), tensors[f"{theirs}.lora_up.weight"].float())
        for ours, theirs in names
    }
