"""A placement's form is given once to each module, whoever shares it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers.hooks import group_offloading

import nano
from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement
from common.errors import WeightsError
from common.modes.all import MODES
from common.placement import zerogpu
from common.runtime.device.residency import Residency
from common.runtime.fast import attention, blocks, integers
from common.runtime.model import load, lora
from common.runtime.model.settle import settle, waiting

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


def test_placement_on_zerogpu_packs_no_table_of_words_and_no_lora() -> None:
    """The GPU is one that takes tensors and keeps none: what is real is what stayed."""
    row, lent = CHECKPOINTS["wan2.2-t2v-a14b"], zerogpu("xlarge").model_copy(update={"device": "meta"})
    plain = GROUP.model_copy(update={"offload": "none"})
    parts = waiting(plain, lent)
    pipe = load.build("WanPipeline", nano.find("moe"), Backend(), Residency("cpu"), parts)
    lora.attach(pipe, "lightning-2.2-t2v", row, "nano", None)
    settle(pipe, plain, lent)
    assert {p.device.type for p in pipe.text_encoder.parameters()} == {"meta"}
    for transformer in load.transformers(pipe):
        places = {(".lora_" in name, p.device.type) for name, p in transformer.named_parameters()}
        assert places == {(True, "cpu"), (False, "meta")}
        assert transformer.device.type == "meta"
    plan = MODES["t2v"].plan(MODES["t2v"].parse({"prompt": "a", "checkpoint": row.key}))
    for asked, place in ((plan.model_copy(update={"loras": []}), "cpu"), (plan, "meta")):
        lora.apply(pipe, asked, row, "nano", print)
        for transformer in load.transformers(pipe):
            assert {p.device.type for name, p in transformer.named_parameters() if ".lora_" in name} == {place}


def test_placement_in_integers_is_exact_in_its_first_and_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """All blocks are diffusers' own but for their attention, and no weight is changed."""
    pipe = load.build("WanPipeline", nano.find("dense"), Backend(), Residency("cpu"))
    (transformer,) = load.transformers(pipe)
    before = {name: p.clone() for name, p in transformer.named_parameters()}
    asked: list[str] = []
    plain = attention.plain

    def told(name: str) -> Any:
        return lambda *given: asked.append(name) or plain(*given[:3])

    monkeypatch.setattr(attention, "plain", told("exact"))
    monkeypatch.setattr(integers, "kernel", lambda: told("integers"))
    by_integers = GROUP.model_copy(update={"offload": "none", "attention": "int8"})
    settle(pipe, by_integers, CARD.model_copy(update={"device": "cpu"}))
    gelu = transformer.blocks[0].ffn.net[0].gelu
    assert getattr(gelu, "__func__", None) is type(transformer.blocks[0].ffn.net[0]).gelu
    plan = MODES["t2v"].plan(MODES["t2v"].parse({"prompt": "a", "checkpoint": "wan2.1-t2v-14b"}))
    width = transformer.config.text_dim
    given = {"hidden_states": torch.zeros(1, 16, 2, 4, 4), "timestep": torch.tensor([500]),
             "encoder_hidden_states": torch.zeros(1, 512, width)}  # fmt: skip
    for step in range(plan.num_inference_steps):
        blocks.at_step([transformer], step, plan.num_inference_steps)
        with torch.no_grad():
            transformer(**given)
    layers, inner = len(transformer.blocks), plan.num_inference_steps - 2
    assert asked == ["exact"] * layers + ["integers"] * layers * inner + ["exact"] * layers
    assert all(torch.equal(p, before[name]) for name, p in transformer.named_parameters())
