"""Upstream's own model, where it is at hand: the package `wan`, or a checkout of Wan2.2 at WAN_UPSTREAM.

Of the package nothing but the model is imported: the rest wants a GPU and a dozen packages that nobody here has.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tests.common.runtime.pipelines.s2v.seeded import UPSTREAM_CONFIG, Case, inputs, weight


@cache
def why_not() -> str:
    """Why upstream's model cannot be run here; empty where it can."""
    try:
        _module()
    except ImportError as error:
        return f"upstream's WanModel_S2V is not at hand ({error}); compared with its kept numbers alone"
    return ""


@torch.no_grad()
def sample(case: Case) -> Tensor:
    """What upstream's model makes of a case, [batch, 16, frames, height, width]."""
    model = _module().WanModel_S2V(**{**UPSTREAM_CONFIG, **case.config}).eval()
    model.load_state_dict({name: weight(name, held.shape) for name, held in model.state_dict().items()})
    given = inputs(case)
    pose = given["pose_latents"]
    made = model(
        [*given["hidden_states"]],
        t=given["timestep"],
        context=[*given["encoder_hidden_states"]],
        seq_len=0,  # "no need for this model"
        ref_latents=[*given["image_latents"]],
        motion_latents=[*given["motion_latents"]],
        cond_states=[*(torch.zeros_like(given["hidden_states"]) if pose is None else pose)],
        audio_input=given["audio_embeds"],
        motion_frames=[*given["motion_frames"]],
        drop_motion_frames=given["drop_motion_frames"],
        add_last_motion=given["add_last_motion"],
    )
    return torch.stack(made)


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and sizes of all weights of upstream's model of a config; none is made."""
    with torch.device("meta"):
        model = _module().WanModel_S2V(**config)
    return {name: tuple(held.shape) for name, held in model.state_dict().items()}


@cache
def _module() -> Any:
    root = _root()
    for name in ("wan", "wan.modules", "wan.modules.s2v", "wan.distributed"):
        package = ModuleType(name)
        package.__path__ = [str(root.parent.joinpath(*name.split(".")))]
        sys.modules[name] = package
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # In this order: who imports `flash_attention` by name finds it replaced.
        importlib.import_module("wan.modules.attention").flash_attention = _attention
        return importlib.import_module("wan.modules.s2v.model_s2v")


def _root() -> Path:
    if source := os.environ.get("WAN_UPSTREAM"):
        return Path(source) / "wan"
    found = importlib.util.find_spec("wan")
    if found is None or not found.submodule_search_locations:
        raise ImportError("no package `wan`, and WAN_UPSTREAM is not set")
    return Path(found.submodule_search_locations[0])


def _attention(q: Tensor, k: Tensor, v: Tensor, **_: Any) -> Tensor:
    """flash_attention's layout [batch, tokens, heads, dim]; no lengths differ here, so nothing is masked."""
    made = functional.scaled_dot_product_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
    return made.transpose(1, 2).contiguous()
