"""A placement's form is given once to each module, whoever shares it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.hooks import group_offloading

from common.contract import Backend, Placement
from common.errors import WeightsError
from common.runtime.model.settle import settle

CARD = Backend(device="cuda", name="a card")
GROUP = Placement(
    precision={"transformer": "bfloat16"}, offload="group", peak_bytes=0, weight_bytes=0
)  # fmt: skip


def test_placement_groups_a_text_encoder_that_outlives_a_swap_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With streams diffusers keeps a hook on what never runs, and refuses a second one."""
    grouped: list[Any] = []
    monkeypatch.setattr(
        group_offloading, "apply_group_offloading", lambda module, **_: grouped.append(module)
    )
    encoder = torch.nn.Linear(1, 1)
    for _ in range(2):
        pipe = SimpleNamespace(transformer=torch.nn.Linear(1, 1), text_encoder=encoder)
        settle(pipe, GROUP, CARD)
    assert len(grouped) == 3 and grouped.count(encoder) == 1


@pytest.mark.parametrize("device", ["mps", "cpu"])
def test_placement_refuses_8_bit_weights_where_nobody_planned_them(device: str) -> None:
    transformer: Any = torch.nn.Linear(1, 1)
    transformer.hf_quantizer = "torchao"
    pipe = SimpleNamespace(transformer=transformer)
    plain = GROUP.model_copy(update={"offload": "none"})
    with pytest.raises(WeightsError, match="a repack in 8 bits, which a Mac does not know"):
        settle(pipe, plain, Backend.model_validate({"device": device, "name": "a Mac"}))
