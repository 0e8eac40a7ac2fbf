"""Upstream's own model on what seeded.py makes, where it is at hand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
from torch import Tensor

from common.errors import WeightsError
from common.runtime.pipelines.s2v import mapping
from common.runtime.pipelines.s2v.upstream import UpstreamS2VTransformer3DModel, model_class
from tests.common.runtime.pipelines.s2v.seeded import UPSTREAM_CONFIG, Case, inputs, weight


@cache
def why_not() -> str:
    """Why upstream's model cannot be run here; empty where it can."""
    try:
        model_class()
    except WeightsError as error:
        return f"{error}; compared with its kept numbers alone"
    return ""


@torch.no_grad()
def sample(case: Case) -> Tensor:
    """What upstream's model makes of a case, [batch, 16, frames, height, width]."""
    config = mapping.own_config({**UPSTREAM_CONFIG, **case.config})
    model = UpstreamS2VTransformer3DModel(**config, num_weighted_avg_layers=25).eval()
    model.model.text_len = UPSTREAM_CONFIG["text_len"]
    state = model.model.state_dict()
    model.model.load_state_dict({name: weight(name, held.shape) for name, held in state.items()})
    return model(**inputs(case)).sample


def shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and sizes of all weights of upstream's model of a config; none is made."""
    with torch.device("meta"):
        model = model_class()(**config)
    return {name: tuple(held.shape) for name, held in model.state_dict().items()}
