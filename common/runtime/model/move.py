"""Moves a module to a device: its 8-bit weights too, and to the GPU that ZeroGPU has yet to lend."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass, transform_subclass


def move(module: Any, device: str, but: str = "") -> Any:
    """The same module, with all its tensors on `device`, but for parameters with `but` in their names."""
    stay = {id(p) for name, p in module.named_parameters() if but and but in name}

    def moved(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) in stay:
            return tensor
        # `spaces` 0.51.3 cannot stand in for torchao's tensors (no `aten.empty_like`): their parts it can, and packs.
        if is_traceable_wrapper_subclass(tensor):
            return transform_subclass(tensor, lambda _, part: part.to(device))
        return tensor.to(device)

    return module._apply(moved)
