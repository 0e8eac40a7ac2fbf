"""Attaches a plan's LoRAs to a pipeline once, and switches them on or off for every request."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from common.catalog import LORAS, Checkpoint, Target, Weights
from common.contract import Plan
from common.errors import WeightsError
from common.runtime.fast import merged
from common.runtime.model import load, lora_file
from common.runtime.model import weights as found
from common.runtime.model.lora_file import Header
from common.runtime.model.weights import Say

_remarks: WeakKeyDictionary[Any, dict[str, list[str]]] = WeakKeyDictionary()
"""By transformer and adapter: every job that uses it is told, not only the one that loaded it."""


def adapter_name(key: str, target: Target) -> str:
    """A name per LoRA and transformer; PEFT makes module names of it, where a dot would split."""
    noise = {"transformer": "high", "transformer_2": "low"}[target]
    return f"{key.replace('.', '_').replace('-', '_')}_{noise}"


def apply(
    pipe: Any,
    plan: Plan,
    checkpoint: Checkpoint,
    weights: Weights,
    say: Callable[[str], None],
    *,
    offline: bool = False,
) -> None:
    """Puts the pipeline into the state that the plan asks for, whatever the last request left behind.

    `enable_lora` first: after `disable_lora`, `set_adapters` alone leaves the adapters off, silently. `say` is told
    what is downloaded, unless nothing may be (`offline`), and what of a LoRA is not used.
    """
    names: list[str] = []
    scales: list[float] = []
    for key, scale in plan.loras:
        for target in attach(pipe, key, checkpoint, weights, None if offline else say):
            names.append(adapter_name(key, target))
            scales.append(scale)
            for remark in _remarks.get(getattr(pipe, target), {}).get(names[-1], []):
                say(remark)
    merging = [t for t in load.transformers(pipe) if merged.kept(t)]
    for transformer in merging:
        known = getattr(transformer, "peft_config", {})
        own = [(name, scale) for name, scale in zip(names, scales, strict=True) if name in known]
        merged.put(transformer, own)
    if names and not merging:
        _bring(load.transformers(pipe), names)
        pipe.enable_lora()
        pipe.set_adapters(names, scales)
    elif any(has_adapters(pipe)):
        pipe.disable_lora()


def _bring(transformers: Iterable[Any], names: Sequence[str]) -> None:
    """Adapters come to where their layers are: to a worker of ZeroGPU none was sent before."""
    for module in (m for transformer in transformers for m in transformer.modules()):
        for name in names:
            if name in getattr(module, "lora_A", ()):
                weight = module.get_base_layer().weight
                device = getattr(weight, "qdata", weight).device  # of 8 bits what holds them knows best
                module.lora_A[name].to(device)
                module.lora_B[name].to(device)


def attach(pipe: Any, key: str, checkpoint: Checkpoint, weights: Weights, say: Say) -> list[Target]:
    """Loads a LoRA unless the pipeline has it; the transformers that it went into."""
    lora = LORAS[key]
    targets: list[Target] = [f.target for f in lora.files]
    if all(count(pipe, key, target) for target in targets):
        return targets
    resolved = found.resolve_lora(lora, checkpoint, weights, say)
    headers: dict[Target, Header] = {target: lora_file.read(path) for target, path in resolved}
    ranks: dict[Target, int] = {f.target: f.rank for f in lora.files}
    # Wan-Nano's ranks are its own.
    remarks: dict[Target, str] = {} if weights == "nano" else _compare(headers, ranks)
    for target, path in resolved:
        if not count(pipe, key, target):
            remark = _load(pipe, key, target, path, headers[target])
            said = [text for text in (remarks.get(target), remark) if text]
            _remarks.setdefault(getattr(pipe, target), {})[adapter_name(key, target)] = said
    return targets


def _compare(headers: Mapping[Target, Header], ranks: Mapping[Target, int]) -> dict[Target, str]:
    """What is to be said of files with other ranks than their rows; WeightsError where they are swapped."""
    real: dict[Target, int] = {target: header.rank for target, header in headers.items()}
    if len(set(ranks.values())) > 1 and [*real.values()] == [*reversed([*ranks.values()])]:
        names = " and ".join(header.name for header in headers.values())
        raise WeightsError(f"HIGH and LOW are swapped: {names} have each the rank of the other; delete both")
    return {
        target: f"{headers[target].name} has rank {rank} instead of {ranks[target]}: is it another file?"
        for target, rank in real.items()
        if rank != ranks[target]
    }


def _load(pipe: Any, key: str, target: Target, path: Path, header: Header) -> str:
    """Loads one file into one transformer, or nothing at all; what of it is not used, in words."""
    name = adapter_name(key, target)
    module = getattr(pipe, target, None)
    if module is None:
        raise WeightsError(f"{path.name} belongs into {target}, which this model does not have")
    try:
        with _beside_8_bits():
            found = lora_file.source(path)
            where = {"weight_name": path.name} if isinstance(found, Path) else {}
            pipe.load_lora_weights(
                str(path.parent) if isinstance(found, Path) else found,
                **where,
                adapter_name=name,
                load_into_transformer_2=target == "transformer_2",
                low_cpu_mem_usage=header.even,
            )
        # diffusers only warns when no key of the file matches, and the video would be made without the LoRA.
        if not count(pipe, key, target):
            raise WeightsError(f"{path.name} has no weights for {target}: nothing of it was loaded")
        for other in {"transformer", "transformer_2"} - {target}:
            if _layers(getattr(pipe, other, None), name):
                raise WeightsError(f"{path.name} went into {other} instead of {target}")
        return lora_file.check(header, module, _layers(module, name))
    except (ValueError, LookupError, RuntimeError, OSError, AttributeError, TypeError) as error:
        _remove(pipe, name)
        raise WeightsError(f"{path.name} does not fit {target}: {str(error)[:300]}") from error
    except WeightsError:
        _remove(pipe, name)  # the next job would find it, and take it for whole
        raise


@contextmanager
def _beside_8_bits() -> Iterator[None]:
    """Layers in 8 bits get the LoRA that others get: PEFT's own for them takes no bias, which Lightning's have."""
    model: Any = importlib.import_module("peft.tuners.lora.model")
    usual = model.dispatch_torchao
    model.dispatch_torchao = lambda *_, **__: None
    try:
        yield
    finally:
        model.dispatch_torchao = usual


def _remove(pipe: Any, name: str) -> None:
    for module in (getattr(pipe, target, None) for target in ("transformer", "transformer_2")):
        if module is not None and (name in getattr(module, "peft_config", {}) or _layers(module, name)):
            module.delete_adapters(name)


def _layers(module: Any, adapter: str) -> list[str]:
    """The layers of a transformer that an adapter changes."""
    end = f".lora_A.{adapter}.weight"
    names = (n for n, _ in module.named_parameters()) if module is not None else ()
    return [name.removesuffix(end) for name in names if name.endswith(end)]


def count(pipe: Any, key: str, target: Target) -> int:
    """How many LoRA matrices of this adapter are in `target`; 0 means that it is not there."""
    return len(_layers(getattr(pipe, target, None), adapter_name(key, target)))


def attached(pipes: Iterable[Any]) -> set[str]:
    """The LoRAs that pipelines have, by what their transformers know of adapters: whether they are on or off."""
    modules = (module for pipe in pipes for module in load.transformers(pipe))
    names = {name for module in modules for name in getattr(module, "peft_config", None) or ()}
    return {
        key for key, lora in LORAS.items() if names >= {adapter_name(key, file.target) for file in lora.files}
    }


def has_adapters(pipe: Any) -> list[bool]:
    """Per transformer, whether any adapter is attached. `get_active_adapters()` under-reports on MoE."""
    modules = [getattr(pipe, target, None) for target in ("transformer", "transformer_2")]
    return [bool(getattr(m, "peft_config", None)) for m in modules if m is not None]
