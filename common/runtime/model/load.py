"""Builds pipelines from a diffusers folder, sharing text encoder, tokenizer, VAE and CLIP between them.

`from_pipe` is not used: it casts the shared modules to float32 in place. Constructors take the same objects.
"""

from __future__ import annotations

import importlib
import inspect
import os
import threading
from collections.abc import Hashable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from common.catalog import Weights
from common.contract import Backend
from common.errors import GOT_CHARACTERS, GpuError, WeightsError, shown
from common.runtime.device.backend import dtype_of, out_of_memory
from common.runtime.device.residency import Residency
from common.runtime.model import cpu_vae, identity, index
from common.runtime.model.move import move

SHARED = ("text_encoder", "tokenizer", "vae", "image_encoder", "image_processor")
TRANSFORMERS = ("transformer", "transformer_2")
APART = ("audio_encoder", "audio_processor")
"""Parts that have done their work before a pipeline is needed; see hearing.py."""

_import_lock = threading.Lock()


def pipeline_class(name: str) -> Any:
    """A pipeline's class by name: importing it takes seconds, and a page must be up before that."""
    with _import_lock:  # two threads in transformers' lazy modules at once see half of them
        diffusers = importlib.import_module("diffusers")
        for library in ("diffusers", "transformers"):  # the events tell what happens; bars fill the log
            importlib.import_module(f"{library}.utils.logging").disable_progress_bar()
        if (
            name == "WanSpeechToVideoPipeline"
        ):  # diffusers has none; imported by name, no bundle would have it
            from common.runtime.pipelines.s2v.pipeline import WanSpeechToVideoPipeline

            return WanSpeechToVideoPipeline
        return getattr(diffusers, name)


def build(
    pipeline: str,
    folder: Path,
    backend: Backend,
    residency: Residency,
    waiting: frozenset[str] = frozenset(),
    weights: Weights = "nano",
    other: Any = None,
) -> Any:
    """A diffusers pipeline of class `pipeline` on the backend's device; it shares what is in `SHARED`.

    The parts `waiting` stay in the machine's own memory, until `settle` has given them their form. `other` is a
    pipeline of the same folder, whose transformers this one has too, with all that was done to them.
    """
    content, classes = index.read(folder)
    made = pipeline_class(pipeline)
    arguments: dict[str, Any] = {}
    # A modular pipeline is made of blocks first, which say what parts they need.
    modular = made() if "blocks" in inspect.signature(made.__init__).parameters else None
    names = modular.pretrained_component_names if modular else [*inspect.signature(made.__init__).parameters]
    entries = {name: classes[name] for name in names if name in classes}
    keys = {n: _key(folder / n, e, n in waiting, weights) for n, e in entries.items() if n in SHARED}
    if other is None and weights == "wan":
        residency.keep([*keys.values()])
    for name in names:
        entry = content.get(name)
        if other is not None and name in TRANSFORMERS:
            arguments[name] = getattr(other, name, None)
        elif isinstance(entry, list):
            arguments[name] = None
            if name in entries and name not in APART:
                load = partial(part, folder / name, entries[name], backend, name in waiting)
                arguments[name] = residency.part(keys[name], load) if name in keys else load()
        elif entry is not None:
            arguments[name] = entry  # boundary_ratio, expand_timesteps
    missing = {"tokenizer", "text_encoder", "transformer", "vae", "scheduler"} - arguments.keys()
    if missing:
        raise WeightsError(f"{folder} lacks {', '.join(sorted(missing))}; it is not a Wan pipeline")
    if modular:
        modular.update_components(**arguments)
        pipe = modular
    else:
        if "image_processor" in names:
            arguments.setdefault("image_processor", None)
            arguments.setdefault("image_encoder", None)
        pipe = made(**arguments)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def transformers(pipe: Any) -> list[Any]:
    """Of a pipeline, which has one or, of a mixture of experts, two."""
    return [m for name in TRANSFORMERS if (m := getattr(pipe, name, None)) is not None]


def _key(folder: Path, entry: list[str], waits: bool, weights: Weights) -> Hashable:
    """What makes a shared part the one that is there already: what it is, and whether it waits outside the GPU."""
    same = (weights == "wan" and identity.of(folder, entry)) or _content(folder)
    return folder.name, waits, same


def _content(folder: Path) -> tuple[tuple[str, str], ...]:
    # In the Hub's cache a file's target is named by its hash, so equal encoders of two repositories are one.
    files = sorted(f for f in folder.resolve().iterdir() if f.is_file())
    targets = [(f.name, f.resolve()) for f in files]
    return tuple((name, t.name if t.parent.name == "blobs" else str(t)) for name, t in targets)


def _class(entry: list[str]) -> Any:
    """The class that an index's entry names; of S2V's transformer upstream's, where the environment asks for that."""
    library, name = entry
    engine = os.environ.get("WAN_S2V_ENGINE") or "own"
    if engine not in ("own", "upstream"):
        raise WeightsError(f"WAN_S2V_ENGINE must be own or upstream; got {shown(engine, GOT_CHARACTERS)}")
    if name == "WanS2VTransformer3DModel" and engine == "upstream":
        from common.runtime.pipelines.s2v.upstream import UpstreamS2VTransformer3DModel

        return UpstreamS2VTransformer3DModel
    return getattr(importlib.import_module(library), name)


def part(folder: Path, entry: list[str], backend: Backend, waits: bool = False) -> Any:
    """One part of a pipeline, of the library and class of its entry, on the device or waiting for it."""
    kind, name = _class(entry), entry[1]
    try:
        is_model = torch.nn.Module in kind.__mro__
        if is_model:
            # The dtype goes to from_pretrained: .to(bf16) would break the modules that stay in fp32.
            module: Any = kind.from_pretrained(folder, torch_dtype=dtype_of(folder.name, backend.device))
            if backend.device == "cpu" and folder.name == "vae":
                cpu_vae.speed_up(module)
            return move(module.eval().requires_grad_(False), "cpu" if waits else backend.device)
        return kind.from_pretrained(folder)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if out_of_memory(error):
            raise GpuError(
                f"Out of memory while loading {folder.name}; end other programs that use the GPU, "
                "or choose a smaller model"
            ) from error
        raise WeightsError(f"{folder} cannot be loaded as {name}: {str(error)[:300]}") from error
    finally:
        torch.set_default_dtype(
            torch.float32
        )  # where a constructor fails, diffusers leaves the model's own behind
