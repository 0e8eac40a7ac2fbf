"""Attaches a plan's LoRAs to a pipeline once, and switches them on or off for every request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from common.catalog import LORAS, Checkpoint, Target, Weights
from common.contract import Plan
from common.errors import WeightsError
from common.runtime.model import weights as found
from common.runtime.model.weights import Say


def adapter_name(key: str, target: Target) -> str:
    """A name per LoRA and transformer; PEFT makes module names of it, where a dot would split."""
    noise = {"transformer": "high", "transformer_2": "low"}[target]
    return f"{key.replace('.', '_').replace('-', '_')}_{noise}"


def apply(pipe: Any, plan: Plan, checkpoint: Checkpoint, weights: Weights, say: Say) -> None:
    """Puts the pipeline into the state that the plan asks for, whatever the last request left behind.

    `enable_lora` first: after `disable_lora`, `set_adapters` alone leaves the adapters off, silently.
    """
    names: list[str] = []
    scales: list[float] = []
    for key, scale in plan.loras:
        for target in attach(pipe, key, checkpoint, weights, say):
            names.append(adapter_name(key, target))
            scales.append(scale)
    if names:
        pipe.enable_lora()
        pipe.set_adapters(names, scales)
    elif any(has_adapters(pipe)):
        pipe.disable_lora()


def attach(pipe: Any, key: str, checkpoint: Checkpoint, weights: Weights, say: Say) -> list[Target]:
    """Loads a LoRA unless the pipeline has it; the transformers that it went into."""
    lora = LORAS[key]
    targets: list[Target] = [f.target for f in lora.files]
    if all(count(pipe, key, target) for target in targets):
        return targets
    for target, path in found.resolve_lora(lora, checkpoint, weights, say):
        if not count(pipe, key, target):
            _load(pipe, key, target, path)
    return targets


def _load(pipe: Any, key: str, target: Target, path: Path) -> None:
    name = adapter_name(key, target)
    try:
        pipe.load_lora_weights(
            str(path.parent),
            weight_name=path.name,
            adapter_name=name,
            load_into_transformer_2=target == "transformer_2",
        )
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        raise WeightsError(f"{path.name} does not fit {target}: {str(error)[:300]}") from error
    # diffusers only warns when no key of the file matches, and the video would be made without the LoRA.
    if not count(pipe, key, target):
        raise WeightsError(f"{path.name} has no weights for {target}: nothing of it was loaded")


def count(pipe: Any, key: str, target: Target) -> int:
    """How many LoRA matrices of this adapter are in `target`; 0 means that it is not there."""
    module = getattr(pipe, target, None)
    if module is None:
        return 0
    part = f"lora_A.{adapter_name(key, target)}."
    return sum(part in name for name, _ in module.named_parameters())


def has_adapters(pipe: Any) -> list[bool]:
    """Per transformer, whether any adapter is attached. `get_active_adapters()` under-reports on MoE."""
    modules = [getattr(pipe, target, None) for target in ("transformer", "transformer_2")]
    return [bool(getattr(m, "peft_config", None)) for m in modules if m is not None]
