"""Starts one kind's transformer from another's weights."""

from __future__ import annotations

from typing import Any

import torch


@torch.no_grad()
def inherit(child: Any, parent: Any) -> int:
    """Copies what fits: layers spread over the parent's depth, extra input channels as zeros. Counts tensors."""
    depth, old_depth = child.config.num_layers, parent.config.num_layers
    theirs = parent.state_dict()
    copied = 0
    for name, value in child.state_dict().items():
        source = name
        if name.startswith("blocks."):
            _, index, rest = name.split(".", 2)
            spread = round(int(index) * (old_depth - 1) / max(1, depth - 1))
            source = f"blocks.{spread}.{rest}"
        old = theirs.get(source)
        if old is None:
            continue
        if old.shape == value.shape:
            value.copy_(old)
            copied += 1
        elif name == "patch_embedding.weight" and old.shape[0] == value.shape[0]:
            value.zero_()
            value[:, : old.shape[1]].copy_(old)
            copied += 1
    return copied
