"""LoRAs as part of compiled blocks' weights: a forward costs nothing more, and is one graph with them and without.

The weights as they were loaded wait in the machine's own memory, and come back to the last bit before another sum
begins: nothing drifts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

Parts = list[Tensor]
"""Of a layer: its weight, or the 8 bits and the scales of it, and its bias where it has one."""


@dataclass
class _State:
    """What a transformer's weights are now, and what they were, by layer."""

    now: tuple[tuple[str, float], ...]
    homes: dict[str, Parts]


_states: WeakKeyDictionary[Any, _State] = WeakKeyDictionary()


def keep(transformer: Any) -> None:
    """Keeps the weights that LoRAs may change: to be called once they have their form, and all LoRAs are there."""
    homes = {name: [_home(part) for part in _parts(layer)] for name, layer in _layers(transformer)}
    _states[transformer] = _State((), homes)


def kept(transformer: Any) -> bool:
    """Whether its LoRAs are merged; else PEFT's layers add them in every forward."""
    return transformer in _states


@torch.no_grad()
def put(transformer: Any, adapters: Sequence[tuple[str, float]]) -> None:
    """Makes its weights those with these adapters, each by its scale. PEFT's own layers must be off."""
    state, wanted = _states[transformer], tuple(adapters)
    if wanted == state.now:
        return
    changed = bool(state.now)
    state.now = (("half done", 0.0),)  # whatever happens: the next one begins with the weights that were kept
    for name, layer in _layers(transformer):
        if changed:
            for part, home in zip(_parts(layer), state.homes[name], strict=True):
                part.copy_(home, non_blocking=True)
        mine = [(adapter, scale) for adapter, scale in wanted if adapter in layer.lora_A]
        if mine:
            _add(layer, mine)
    state.now = wanted


def _add(layer: Any, adapters: Sequence[tuple[str, float]]) -> None:
    base = layer.get_base_layer()
    weight: Any = base.weight
    coded = hasattr(weight, "qdata")
    whole = (weight.dequantize(torch.float32) if coded else weight.float()).to(weight.device)
    for adapter, scale in adapters:
        into, out = layer.lora_A[adapter].weight, layer.lora_B[adapter]
        times = scale * layer.lora_alpha[adapter] / layer.r[adapter]
        whole += times * (out.weight.float() @ into.float())
        if out.bias is not None:
            base.bias += (times * out.bias.float()).to(base.bias.dtype)
    if not coded:
        weight.copy_(whole)
        return
    made: Any = type(weight).from_hp(whole, mm_config=weight.mm_config, kernel_preference=weight.kernel_preference)
    weight.qdata.copy_(made.qdata)
    weight.scale.copy_(made.scale)


def _layers(transformer: Any) -> Iterator[tuple[str, Any]]:
    """PEFT's layers around the linear ones, by name."""
    for name, module in transformer.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "get_base_layer"):
            yield name, module


def _parts(layer: Any) -> Parts:
    base = layer.get_base_layer()
    weight: Any = base.weight
    parts = [weight.qdata, weight.scale] if hasattr(weight, "qdata") else [weight.data]
    return parts if base.bias is None else [*parts, base.bias.data]


def _home(part: Tensor) -> Tensor:
    if part.device.type != "cuda":
        return part.clone()
    return torch.empty(part.shape, dtype=part.dtype, pin_memory=True).copy_(part)
