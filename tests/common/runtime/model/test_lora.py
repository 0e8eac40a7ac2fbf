"""LoRAs go where they belong, or the job fails: diffusers itself would only warn."""

from __future__ import annotations

import pytest
from safetensors.torch import load_file, save_file

import nano
from common.catalog import CHECKPOINTS
from common.errors import WeightsError
from common.runtime.model import lora

MOE = "wan2.2-t2v-a14b"
KEY = "lightning-2.2-t2v"


def test_lora_high_and_low_are_in_their_own_expert(t2v, run):
    run(preset="fast")
    pipe = t2v._pipe(MOE, print)
    assert lora.count(pipe, KEY, "transformer") > 0
    assert lora.count(pipe, KEY, "transformer_2") > 0
    names = {n for n, _ in pipe.transformer.named_parameters() if "lora_A" in n}
    assert not any(lora.adapter_name(KEY, "transformer_2") in n for n in names), "LOW leaked into HIGH"


def test_lora_is_attached_once(t2v, run):
    run(preset="fast")
    pipe = t2v._pipe(MOE, print)
    before = sum(1 for n, _ in pipe.transformer.named_parameters() if "lora_" in n)
    run(preset="fast")
    assert sum(1 for n, _ in pipe.transformer.named_parameters() if "lora_" in n) == before


def test_lora_without_the_prefix_is_an_error(t2v, tmp_path, monkeypatch):
    t2v.unload()
    stripped = {}
    for target, path in nano.lora("moe").items():
        keys = load_file(path)
        bare = {k.replace("diffusion_model.", "").replace("transformer.", ""): v for k, v in keys.items()}
        stripped[target] = tmp_path / path.name
        save_file(bare, stripped[target])
    monkeypatch.setattr(nano, "lora", lambda kind: stripped)
    pipe = t2v._pipe(MOE, print)
    with pytest.raises(WeightsError):
        lora.attach(pipe, KEY, CHECKPOINTS[MOE], "nano", print)
    t2v.unload()


def test_lora_that_nano_lacks_is_a_clear_error():
    from dataclasses import replace

    from common.catalog import LORAS
    from common.runtime.model import weights

    with pytest.raises(WeightsError, match="use Quality"):
        lacking = replace(LORAS["lightning-2.1-i2v"], kind="vace")
        weights.resolve_lora(lacking, CHECKPOINTS["wan2.1-flf2v-14b-720p"], "nano", print)
