"""Reads a transformer of Wan-S2V whose weights are called otherwise than here."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from common.runtime.pipelines.s2v import mapping


def foreign(place: str | os.PathLike[str], subfolder: str | None = None) -> Path | None:
    """The folder of the weights, where it is one on this disk and `mapping` has to say what they mean."""
    folder = Path(place) / (subfolder or "")
    if not folder.is_dir() or not mapping.is_foreign(_files(folder).keys()):
        return None
    return folder


def load(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """A model of the class `kind` in `dtype` on the CPU; what its class keeps in float32 stays so.

    WeightsError where names or config are not Wan-S2V's, RuntimeError where a size is not.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    with torch.device("meta"):
        model = kind.from_config(mapping.own_config(config))
    for state in states(folder, model.state_dict().keys(), dtype, kind._keep_in_fp32_modules):
        model.load_state_dict(state, strict=False, assign=True)
    model.register_to_config(_name_or_path=str(folder))
    return model.eval()


def states(
    folder: Path, own: Collection[str], dtype: torch.dtype, exact: Iterable[str]
) -> Iterator[dict[str, torch.Tensor]]:
    """The weights of each file by the names here, of which `own` are all; in `dtype`, and in float32 the modules that
    are `exact`. WeightsError where the files lack one or have another."""
    files = _files(folder)
    names = mapping.own_names(files, own)
    for file in sorted(set(files.values())):
        yield _read(file, names, dtype, frozenset(exact))


def _read(
    file: Path, names: Mapping[str, str], dtype: torch.dtype, exact: frozenset[str]
) -> dict[str, torch.Tensor]:
    made: dict[str, torch.Tensor] = {}
    with safe_open(file, framework="pt") as opened:
        for name in opened.keys():  # noqa: SIM118 (it is no mapping)
            own = names[name]
            whole = not exact.isdisjoint(own.split("."))
            made[own] = opened.get_tensor(name).to(torch.float32 if whole else dtype)
    return made


def _files(folder: Path) -> dict[str, Path]:
    """In which file each weight is: by the index, or of the files themselves where there is none."""
    for index in folder.glob("*.safetensors.index.json"):
        listed = json.loads(index.read_text("utf-8"))["weight_map"]
        return {name: folder / file for name, file in listed.items()}
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            found |= dict.fromkeys(opened.keys(), file)
    return found
