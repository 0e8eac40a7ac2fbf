"""Blocks in the form that compiles well compute what diffusers' blocks compute."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel, WanVACETransformer3DModel
from peft import LoraConfig
from torch.nn import functional

from common.runtime.fast import attention, blocks, linears

SIZES: dict[str, Any] = {
    "num_attention_heads": 2, "attention_head_dim": 64, "ffn_dim": 256, "num_layers": 2, "text_dim": 64,
    "freq_dim": 64,
}  # fmt: skip


def dense(**more: Any) -> Any:
    torch.manual_seed(0)
    return WanTransformer3DModel(**SIZES, **more).eval().requires_grad_(False)


def vace() -> Any:
    torch.manual_seed(0)
    return WanVACETransformer3DModel(**SIZES, vace_layers=[0, 1], vace_in_channels=96).eval().requires_grad_(False)


def asked(channels: int = 16, **more: Any) -> dict[str, Any]:
    one = torch.Generator().manual_seed(1)
    return {
        "hidden_states": torch.randn(1, channels, 2, 8, 8, generator=one),
        "timestep": torch.tensor([500]), "encoder_hidden_states": torch.randn(1, 512, 64, generator=one),
        "return_dict": False, **more,
    }  # fmt: skip


CASES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "dense": (dense, asked()),
    "picture": (
        lambda: dense(image_dim=32, added_kv_proj_dim=128),
        asked(encoder_hidden_states_image=torch.ones(1, 257, 32)),
    ),
    "vace": (vace, asked(control_hidden_states=torch.ones(1, 96, 2, 8, 8))),
}


@pytest.mark.parametrize("case", CASES)
def test_quickened_blocks_give_the_same(case: str) -> None:
    make, given = CASES[case]
    transformer = make()
    with torch.no_grad():
        (wanted,) = transformer(**given)
        blocks.quicken(transformer, attention.plain, None)
        (made,) = transformer(**given)
    assert wanted.std() > 0.1 and torch.allclose(made, wanted, atol=1e-5)


def test_gelu_is_the_one_by_tanh() -> None:
    x = torch.linspace(-40, 40, 4001)
    assert torch.allclose(blocks.gelu(x), functional.gelu(x, approximate="tanh"), atol=1e-6)


def test_the_first_and_the_last_step_are_exact() -> None:
    transformer, given = dense(), asked()
    processor = blocks.quicken(transformer, attention.plain, attention.emulated_in_8_bits)
    rounded: list[bool] = []
    with torch.no_grad():
        (wanted,) = transformer(**given)
        for step in range(5):
            blocks.at_step([transformer], step, 5)
            assert processor.in_8_bits == (0 < step < 4)
            (made,) = transformer(**given)
            rounded.append(not torch.equal(made, wanted))
            assert torch.allclose(made, wanted, atol=0.1)
    assert rounded == [False, True, True, True, False]


def test_a_transformer_of_diffusers_own_is_left_alone() -> None:
    transformer = dense()
    blocks.at_step([transformer, torch.nn.Linear(1, 1)], 1, 5)  # upstream's S2V has no blocks by that name
    assert not isinstance(transformer.blocks[0].attn1.processor, blocks.SelfAttention)


@pytest.mark.parametrize("eight", [False, True])
@pytest.mark.parametrize("case", ["dense", "vace"])
def test_a_block_is_one_graph_for_all_of_its_kind_with_a_lora_too(
    case: str, eight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graphs are run as they are: what a card's compiler makes of them is measured (bench.gpu)."""
    make, given = CASES[case]
    torch._dynamo.reset()
    graphs: list[Any] = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    transformer = make()
    targets = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]
    transformer.add_adapter(LoraConfig(r=4, target_modules=targets, init_lora_weights=False))
    with torch.no_grad():
        (wanted,) = transformer(**given)
        transformer.disable_adapters()
        (without,) = transformer(**given)
    blocks.quicken(transformer, attention.plain, attention.emulated_in_8_bits)
    plain = torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda self, **more: plain(self, backend=backend, **more)
    )
    blocks.compiled(transformer)
    blocks.at_step([transformer], int(eight), 3)
    near = {"atol": 0.1} if eight else {"atol": 1e-5}
    with torch.no_grad(), blocks.many_forms():
        assert torch.allclose(transformer(**given)[0], without, **near)
        count = len(graphs)
        assert count == (1 if case == "dense" else 3), "a control block that is the first has a projection more"
        transformer.enable_adapters()
        assert torch.allclose(transformer(**given)[0], wanted, **near)
        assert len(graphs) == 2 * count
        transformer.disable_adapters()
        transformer(**given)
        transformer.enable_adapters()
        transformer(**given)
        assert len(graphs) == 2 * count, "what was compiled before is found again"
    torch._dynamo.reset()


def test_products_in_8_bits_leave_loras_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are torchao's own, though weights that came in 8 bits (`deploy bake --fp8`) get them too."""
    from torchao.quantization import Float8DynamicActivationFloat8WeightConfig, PerRow, quantize_

    monkeypatch.setattr("torchao.quantization.quant_api._check_hardware_support", lambda *_: None)
    transformer = dense().bfloat16()
    transformer.add_adapter(LoraConfig(r=16, target_modules=["to_q"]))
    name = "blocks.0.attn1.to_q.base_layer"
    own = torch.nn.Sequential(torch.nn.Linear(128, 128)).bfloat16()
    own[0].weight.data = transformer.get_submodule(name).weight.data.clone()
    quantize_(own, Float8DynamicActivationFloat8WeightConfig(granularity=PerRow(), set_inductor_config=False))
    linears.quantize(transformer, "cpu")
    linears.multiply(transformer)
    found: dict[str, Any] = {
        n: m.weight for n, m in transformer.named_modules() if isinstance(m, torch.nn.Linear)
    }
    made, wanted = found[name], own[0].weight
    assert torch.equal(made.qdata, wanted.qdata) and torch.equal(made.scale, wanted.scale)
    assert (made.act_quant_kwargs, made.mm_config, made.block_size) == (
        wanted.act_quant_kwargs, wanted.mm_config, wanted.block_size,
    )  # fmt: skip
    both = {n for n, w in found.items() if getattr(w, "act_quant_kwargs", None) is not None}
    assert {"blocks.1.ffn.net.2", "blocks.0.attn2.to_k"} <= both
    assert both == {n for n, w in found.items() if type(w).__name__ == "Float8Tensor"}
    assert type(found["blocks.0.attn1.to_q.lora_A.default"]).__name__ == "Parameter"
    assert type(found["proj_out"]).__name__ == "Parameter"


def test_a_kernel_of_others_is_followed_by_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """It looks through caches, and refuses an import."""

    def flash_attn_func(q: Any, k: Any, v: Any, q_descale: Any = None, k_descale: Any = None, v_descale: Any = None):
        scales = (q_descale, k_descale, v_descale)
        if q_descale is not None:
            q, k, v = (x.float() * s[:, None, :, None] for x, s in zip((q, k, v), scales, strict=True))
        return attention.plain(q, k, v)

    monkeypatch.setitem(sys.modules, attention.FA3, SimpleNamespace(flash_attn_func=flash_attn_func))
    torch._dynamo.reset()
    transformer, given = dense(), asked()
    with torch.no_grad():
        (wanted,) = transformer(**given)
        blocks.quicken(transformer, *attention.fa3())
        for block in blocks.blocks_of(transformer):
            block.compile(fullgraph=True, backend="eager")
        (exact,) = transformer(**given)
        blocks.at_step([transformer], 1, 3)
        (rounded,) = transformer(**given)
    torch._dynamo.reset()
    assert torch.allclose(exact, wanted, atol=1e-5)
    assert not torch.equal(rounded, exact) and torch.allclose(rounded, wanted, atol=0.1)
