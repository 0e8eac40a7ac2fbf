"""LoRAs that are part of the weights change what PEFT's would, and leave no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import WanTransformer3DModel
from peft import LoraConfig

from common.runtime.fast import linears, merged

TARGETS = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def made(dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=64, ffn_dim=256, num_layers=2, text_dim=64, freq_dim=64
    )
    transformer = transformer.to(dtype).eval().requires_grad_(False)
    for name, targets, bias in (("fast", TARGETS, True), ("style", ["to_q"], False)):
        config = LoraConfig(r=8, lora_alpha=4, target_modules=targets, init_lora_weights=False, lora_bias=bias)
        transformer.add_adapter(config, adapter_name=name)
    for name, parameter in transformer.named_parameters():
        if "lora_" in name:
            parameter.data = torch.randn(parameter.shape).to(dtype) * 0.1
    return transformer.requires_grad_(False)


def out(transformer: Any) -> torch.Tensor:
    one = torch.Generator().manual_seed(1)
    given = {
        "hidden_states": torch.randn(1, 16, 2, 8, 8, generator=one).to(transformer.dtype),
        "timestep": torch.tensor([500]), "return_dict": False,
        "encoder_hidden_states": torch.randn(1, 512, 64, generator=one).to(transformer.dtype),
    }  # fmt: skip
    with torch.no_grad():
        return transformer(**given)[0].float()


def with_peft(transformer: Any, *adapters: tuple[str, float]) -> torch.Tensor:
    transformer.enable_adapters()
    transformer.set_adapters([name for name, _ in adapters], [scale for _, scale in adapters])
    result = out(transformer)
    transformer.disable_adapters()
    return result


@pytest.mark.parametrize(
    "adapters", [[("fast", 1.0)], [("style", 0.5)], [("fast", 0.7), ("style", 1.3)]], ids=str
)
def test_a_merged_lora_changes_what_pefts_does(adapters: list[tuple[str, float]]) -> None:
    transformer = made()
    wanted = with_peft(transformer, *adapters)
    plain = out(transformer)
    assert not merged.kept(transformer)
    merged.keep(transformer)
    merged.put(transformer, adapters)
    assert merged.kept(transformer)
    assert (wanted - plain).norm() > 0.003 * plain.norm()
    assert torch.allclose(out(transformer), wanted, atol=1e-4)


def test_without_them_the_weights_are_back_to_the_last_bit() -> None:
    transformer = made()
    plain = out(transformer)
    merged.keep(transformer)
    for scale in (1.0, 0.3, 1.0, -2.0):
        merged.put(transformer, [("fast", scale), ("style", 1.0)])
        merged.put(transformer, [])
    assert torch.equal(out(transformer), plain)


def test_from_one_to_another_nothing_of_the_first_stays() -> None:
    transformer = made()
    merged.keep(transformer)
    merged.put(transformer, [("style", 1.0)])
    wanted = out(transformer)
    merged.put(transformer, [("fast", 1.0)])
    merged.put(transformer, [("style", 1.0)])
    assert torch.equal(out(transformer), wanted)


def test_what_was_interrupted_is_done_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = made()
    plain = out(transformer)
    merged.keep(transformer)
    add, count = merged._add, [0]

    def failing(*args: Any) -> None:
        count[0] += 1
        if count[0] == 5:
            raise RuntimeError("out of memory")
        add(*args)

    with monkeypatch.context() as patch:
        patch.setattr(merged, "_add", failing)
        with pytest.raises(RuntimeError):
            merged.put(transformer, [("fast", 1.0)])
    merged.put(transformer, [])
    assert torch.equal(out(transformer), plain)


def test_in_8_bits_they_are_as_near_as_8_bits_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchao.quantization.quant_api._check_hardware_support", lambda *_: None)
    transformer = made(torch.bfloat16)
    wanted = with_peft(transformer, ("fast", 1.0))
    linears.quantize(transformer, "cpu")
    beside = with_peft(transformer, ("fast", 1.0))
    plain = out(transformer)
    merged.keep(transformer)
    merged.put(transformer, [("fast", 1.0)])

    def off(result: torch.Tensor) -> float:
        return float((result - wanted).norm() / wanted.norm())

    assert off(plain) > 3 * off(out(transformer)), "it is there"
    assert off(out(transformer)) < 1.6 * off(beside), "the sum is rounded once more"
    merged.put(transformer, [])
    assert torch.equal(out(transformer), plain)
