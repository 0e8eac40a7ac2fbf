"""Our tiny model with the weights of seeded.py, and the folders in which such a one is published."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from common.runtime.pipelines.s2v import mapping
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from tests.common.runtime.pipelines.s2v.seeded import UPSTREAM_CONFIG, weight


def model(config: Mapping[str, Any] | None = None) -> WanS2VTransformer3DModel:
    """In float32, with upstream's config as the argument changes it."""
    made = WanS2VTransformer3DModel.from_config(mapping.own_config({**UPSTREAM_CONFIG, **(config or {})}))
    state = {name: weight(mapping.upstream(name), held.shape) for name, held in made.state_dict().items()}
    made.load_state_dict(state)
    return made.eval()


def write_as(
    folder: Path,
    called: Callable[[str], str],
    config: Mapping[str, Any],
    *,
    without: str = "",
    extra: str = "",
) -> Path:
    """The weights in two shards with an index, each called as `called` says; `without` one, with an `extra` one."""
    folder.mkdir()
    state = {called(name): held for name, held in model().state_dict().items() if called(name) != without}
    if extra:
        state[extra] = next(iter(state.values())).clone()
    shards = {f"diffusion_pytorch_model-0000{i + 1}-of-00002.safetensors": [*state][i::2] for i in range(2)}
    for file, names in shards.items():
        save_file({name: state[name] for name in names}, folder / file)
    index = {"metadata": {}, "weight_map": {name: file for file, names in shards.items() for name in names}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"_class_name": "WanModel_S2V", **config}))
    return folder
