"""An exponential average of weights, which samples better than the last step's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Follows a module's trained parameters."""

    def __init__(self, parameters: list[nn.Parameter], decay: float = 0.9995) -> None:
        self.live = parameters
        self.kept = [p.detach().clone() for p in parameters]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (self.steps + 1) / (self.steps + 10))
        torch._foreach_lerp_(self.kept, [p.detach() for p in self.live], 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the live weights and the averaged ones."""
        for live, kept in zip(self.live, self.kept, strict=True):
            held = live.detach().clone()
            live.copy_(kept)
            kept.copy_(held)


def saved_in_half(model: Any, folder: Any) -> None:
    """Writes an fp16 copy, leaving the model as it is."""
    state = {name: value.detach().to("cpu", torch.float16) for name, value in model.state_dict().items()}
    twin = type(model).from_config(copy.deepcopy(dict(model.config)))
    twin.load_state_dict(state)
    twin.half().save_pretrained(folder, safe_serialization=True)
