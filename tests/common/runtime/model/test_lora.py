"""LoRAs go where they belong, all of them, or the job fails: diffusers itself would only warn."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import nano
from common.catalog import CHECKPOINTS, LORAS, LoraFile
from common.contract import Backend
from common.errors import WeightsError
from common.run.service import Ready
from common.runtime.device.residency import Residency
from common.runtime.fast import blocks, linears, merged
from common.runtime.job import Job
from common.runtime.model import load, lora, lora_file, weights

MOE = "wan2.2-t2v-a14b"
KEY = "lightning-2.2-t2v"
I2V_KEY = "lightning-2.2-i2v"

Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def shared() -> Residency:
    return Residency("cpu")


@pytest.fixture
def pipe(shared: Residency) -> Any:
    return load.build("WanPipeline", nano.find("moe"), Backend(), shared)


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Changes the files of both experts before they are loaded."""

    def change(how: Change) -> None:
        files = {}
        for target, path in nano.lora("moe").items():
            files[target] = tmp_path / path.name
            save_file(how(load_file(path)), files[target])
        monkeypatch.setattr(nano, "lora", lambda kind: files)

    return change


def attach(pipe: Any, key: str = KEY, checkpoint: str = MOE) -> None:
    lora.attach(pipe, key, CHECKPOINTS[checkpoint], "nano", print)


def adapters(module: Any) -> set[str]:
    """Names of the adapters that any layer of a transformer has."""
    return {
        name.split("lora_A.")[1].split(".")[0] for name, _ in module.named_parameters() if "lora_A" in name
    }


@pytest.mark.parametrize(
    ("kind", "pipeline", "key", "checkpoint"),
    [("moe", "WanPipeline", KEY, MOE), ("i2v-moe", "WanImageToVideoPipeline", I2V_KEY, "wan2.2-i2v-a14b")],
)
def test_lora_high_and_low_are_in_their_own_expert(kind, pipeline, key, checkpoint, shared):
    pipe = load.build(pipeline, nano.find(kind), Backend(), shared)
    attach(pipe, key, checkpoint)
    high, low = (lora.adapter_name(key, target) for target in ("transformer", "transformer_2"))
    assert adapters(pipe.transformer) == {high} and adapters(pipe.transformer_2) == {low}
    for target, path in nano.lora(kind).items():
        tensors = load_file(path)
        layer = getattr(pipe, target).get_submodule("blocks.0.ffn.net.2")
        name = lora.adapter_name(key, target)
        # alpha is the rank here, so that nothing is scaled
        assert torch.equal(
            layer.lora_A[name].weight, tensors["diffusion_model.blocks.0.ffn.2.lora_down.weight"].float()
        )


def test_lora_is_attached_once(pipe):
    attach(pipe)
    before = sum(1 for n, _ in pipe.transformer.named_parameters() if "lora_" in n)
    attach(pipe)
    assert sum(1 for n, _ in pipe.transformer.named_parameters() if "lora_" in n) == before


def _in_other_words(tensors):
    return {name.replace("diffusion_model.", "model."): tensor for name, tensor in tensors.items()}


def _of_another(tensors):
    return {name.replace("blocks.", "single_blocks."): tensor for name, tensor in tensors.items()}


def _for_vace(tensors):
    return {**tensors, "diffusion_model.vace_blocks.0.ffn.0.lora_down.weight": torch.zeros(8, 128),
            "diffusion_model.vace_blocks.0.ffn.0.lora_up.weight": torch.zeros(256, 8)}  # fmt: skip


def _wider(tensors):
    return {n: torch.cat([t, t], dim=1) if n.endswith("down.weight") else t for n, t in tensors.items()}


def _without(part: str) -> Change:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if part not in name}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_in_other_words, "does not fit transformer"),
        (lambda tensors: _in_other_words(_without("alpha")(tensors)), "nothing of it was loaded"),
        (_of_another, "does not fit transformer"),
        (_for_vace, "does not fit transformer"),
        (_wider, "does not fit transformer"),
        (_without("blocks.3."), "changes 3 of the model's 4 blocks"),
        (_without("blocks.1.self_attn"), "leaves 4 of 40 layers of the blocks as they are"),
        (_without("lora_up"), "is not whole: 40 of 40 layers have one matrix of two"),
        (_without("lora_"), "is no LoRA: none of its 40 tensors"),
        (lambda t: {f"{n}_x": v for n, v in t.items()}, "is no LoRA"),
    ],
)  # fmt: skip
def test_lora_that_does_not_fit_is_an_error_and_leaves_nothing_behind(change, text, pipe, given):
    given(change)
    for _ in range(2):  # the second job must not take what the first one left for the whole
        with pytest.raises(WeightsError, match=text):
            attach(pipe)
    assert not adapters(pipe.transformer) and not adapters(pipe.transformer_2)


def test_lora_cut_off_in_its_download_is_an_error(pipe, tmp_path, monkeypatch):
    files = {}
    for target, path in nano.lora("moe").items():
        files[target] = tmp_path / path.name
        files[target].write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(nano, "lora", lambda kind: files)
    with pytest.raises(WeightsError, match=r"wan_nano_moe_HIGH.* cannot be read .*; delete .* fetched anew"):
        attach(pipe)


def test_lora_alpha_scales_it_and_is_no_layer(pipe, shared, given):
    name = lora.adapter_name(KEY, "transformer")

    def change(pipe: Any) -> torch.Tensor:
        attach(pipe)
        layer = pipe.transformer.get_submodule("blocks.0.attn1.to_q")
        return layer.lora_B[name].weight @ layer.lora_A[name].weight * layer.scaling[name]

    whole = change(pipe)
    given(lambda tensors: {n: t / 2 if n.endswith("alpha") else t for n, t in tensors.items()})
    half = change(load.build("WanPipeline", nano.find("moe"), Backend(), shared))
    assert torch.allclose(half, whole / 2) and whole.abs().max() > 0


@pytest.mark.parametrize("with_bias", ["diffusion_model.blocks.0.", "diffusion_model."])
def test_lora_biases_of_some_layers_leave_those_of_the_others_at_nothing(with_bias, pipe, given):
    """diffusers would leave them without memory, and the first step would crash."""

    def biased(tensors):
        up = {n: t for n, t in tensors.items() if n.startswith(with_bias) and n.endswith("lora_up.weight")}
        return {
            **tensors,
            **{n.replace("lora_up.weight", "diff_b"): torch.ones(len(t)) for n, t in up.items()},
        }

    given(biased)
    attach(pipe)
    name = lora.adapter_name(KEY, "transformer")
    for block, want in ((0, 1), (3, int(with_bias == "diffusion_model."))):
        bias = pipe.transformer.get_submodule(f"blocks.{block}.ffn.net.2").lora_B[name].bias
        assert torch.equal(bias, torch.full_like(bias, want)), (block, bias)


def test_lora_with_biases_works_on_weights_that_are_in_8_bits_already(shared, given):
    """As `deploy bake --fp8` leaves them; with the usual order, LoRA first, it is the same to the last bit."""
    given(
        lambda tensors: {
            **tensors,
            **{n.replace("lora_up.weight", "diff_b"): torch.full((len(t),), 0.01) for n, t in tensors.items()
               if n.endswith("lora_up.weight")},
        }
    )  # fmt: skip
    made = []
    for quantized_first in (True, False):
        pipe = load.build("WanPipeline", nano.find("moe"), Backend(), shared)
        steps = [
            lambda pipe=pipe: linears.quantize(pipe.transformer, "cpu"),
            lambda pipe=pipe: attach(pipe),
        ]
        for step in steps if quantized_first else reversed(steps):
            step()
        made.append([])
        for on in (True, False, True):
            pipe.enable_lora() if on else pipe.disable_lora()
            generator = torch.Generator().manual_seed(1)
            noise = torch.randn(1, 16, 2, 8, 8, generator=generator)
            text = torch.randn(1, 8, 96, generator=generator)
            with torch.no_grad():
                made[-1].append(pipe.transformer(noise, torch.tensor([500]), text)[0])
    early, late = made
    assert all(torch.equal(a, b) for a, b in zip(early, late, strict=True))
    assert torch.equal(early[0], early[2]) and not torch.equal(early[0], early[1])


def test_lora_differences_that_diffusers_drops_are_told_to_every_job_with_counts(pipe, given, t2v):
    given(
        lambda tensors: {
            **tensors,
            "diffusion_model.blocks.0.norm3.diff": torch.zeros(128),
            "diffusion_model.blocks.0.norm3.diff_b": torch.zeros(128),
            "diffusion_model.patch_embedding.diff": torch.zeros(128, 16, 1, 2, 2),
        }
    )
    plan = t2v.plan(t2v.mode.parse({"prompt": "p", "checkpoint": MOE, "preset": "fast"}))
    for _ in range(2):
        said: list[str] = []
        lora.apply(pipe, plan, CHECKPOINTS[MOE], "nano", said.append, offline=True)
        assert len(said) == 2, "one file each for both experts"
        assert said[0] == (
            "3 of 123 tensors of wan_nano_moe_HIGH_lightning_4step.safetensors are not used: "
            "3 differences of norms and embeddings, which diffusers leaves out."
        )
    quality = t2v.plan(t2v.mode.parse({"prompt": "p", "checkpoint": MOE, "preset": "quality"}))
    said = []
    lora.apply(pipe, quality, CHECKPOINTS[MOE], "nano", said.append, offline=True)
    assert not said


def test_lora_that_is_whole_says_nothing(pipe, t2v):
    said: list[str] = []
    plan = t2v.plan(t2v.mode.parse({"prompt": "p", "checkpoint": MOE, "preset": "fast"}))
    lora.apply(pipe, plan, CHECKPOINTS[MOE], "nano", said.append, offline=True)
    assert not said


def test_lora_hybrid_says_what_wan_2_2_does_not_read(shared):
    """The 2.1 LoRA has layers for CLIP; Wan 2.2's experts have none."""
    pipe = load.build("WanImageToVideoPipeline", nano.find("i2v-moe"), Backend(), shared)
    clip = load.build("WanImageToVideoPipeline", nano.find("i2v-clip"), Backend(), shared)
    path = nano.lora("i2v-clip")["transformer"]
    header = lora_file.read(path)
    blocks = len(clip.transformer.blocks)
    assert len(header.layers) == 12 * blocks
    landed = _landed(clip, path)
    assert lora_file.check(header, clip.transformer, landed) == ""
    there = [name for name in landed if "add_" not in name]
    pipe.transformer.blocks.extend(pipe.transformer.blocks[: blocks - len(pipe.transformer.blocks)])
    assert lora_file.check(header, pipe.transformer, there) == (
        f"{4 * blocks} of {header.tensors} tensors of {path.name} are not used: {4 * blocks} layers for a picture's "
        "CLIP embedding, which this model does not read."
    )
    with pytest.raises(WeightsError, match="found no place in the model"):
        lora_file.check(header, clip.transformer, there)


def _landed(pipe: Any, path: Path) -> list[str]:
    pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name="a")
    return lora._layers(pipe.transformer, "a")


@pytest.mark.parametrize(
    ("ranks", "text"),
    [((8, 8), ""), ((16, 8), "HIGH.* has rank 8 instead of 16: is it another file?")],
)
def test_lora_of_another_rank_than_its_row_is_told(ranks, text, pipe, t2v, monkeypatch):
    row = LORAS[KEY]
    files = tuple(LoraFile(f.weight_name, rank, f.target) for f, rank in zip(row.files, ranks, strict=True))
    monkeypatch.setattr(lora, "LORAS", {KEY: replace(row, files=files)})
    found = [(f.target, nano.lora("moe")[f.target]) for f in files]
    monkeypatch.setattr(weights, "resolve_lora", lambda *_: found)
    plan = t2v.plan(t2v.mode.parse({"prompt": "p", "checkpoint": MOE, "preset": "fast"}))
    said: list[str] = []
    lora.apply(pipe, plan, CHECKPOINTS[MOE], "wan", said.append, offline=True)
    assert [bool(re.search(text, each)) for each in said] == ([True] if text else [])


def test_lora_low_given_as_high_is_refused_where_the_ranks_tell(pipe, monkeypatch, tmp_path):
    thin = tmp_path / "LOW.safetensors"
    half = {
        n: t[:4] if n.endswith("down.weight") else t[:, :4] if n.endswith("up.weight") else t
        for n, t in load_file(nano.lora("moe")["transformer_2"]).items()
    }
    save_file({n: t.contiguous() for n, t in half.items()}, thin)
    row = LORAS[KEY]
    files = tuple(LoraFile(f.weight_name, rank, f.target) for f, rank in zip(row.files, (8, 4), strict=True))
    monkeypatch.setattr(lora, "LORAS", {KEY: replace(row, files=files)})
    swapped = [("transformer", thin), ("transformer_2", nano.lora("moe")["transformer"])]
    monkeypatch.setattr(weights, "resolve_lora", lambda *_: swapped)
    with pytest.raises(
        WeightsError, match=r"HIGH and LOW are swapped: LOW.safetensors and wan_nano_moe_HIGH"
    ):
        lora.attach(pipe, KEY, CHECKPOINTS[MOE], "wan", print)
    assert not adapters(pipe.transformer) and not adapters(pipe.transformer_2)


def test_lora_for_two_experts_on_a_model_of_one_is_an_error(shared):
    dense = load.build("WanPipeline", nano.find("dense"), Backend(), shared)
    with pytest.raises(WeightsError):
        attach(dense)


@pytest.mark.slow
@pytest.mark.parametrize(("form", "compile_"), [("float32", "none"), ("float8", "none"), ("float32", "blocks")])
def test_lora_toggles_any_number_of_times_and_each_picture_is_that_of_a_fresh_pipeline(
    form, compile_, t2v, monkeypatch
):
    monkeypatch.setattr(blocks, "compiled", lambda _: None)  # takes minutes on a CPU; see tests/…/fast

    def made(preset: str) -> np.ndarray:
        request = t2v.mode.parse({
            "prompt": "a red circle moving right", "checkpoint": MOE, "preset": preset, "num_frames": 1,
            "num_inference_steps": 4, "seed": 3, "flow_shift": 5.0,
        })  # fmt: skip
        plan = t2v.plan(request)
        assert plan.placement is not None
        precision = plan.placement.precision | {"transformer": form}
        placed = plan.placement.model_copy(update={"precision": precision, "compile": compile_})
        pipe = t2v._pipe(MOE, placed, print)
        assert merged.kept(pipe.transformer) == (compile_ != "none")
        lora.apply(pipe, plan, CHECKPOINTS[MOE], "nano", print, offline=True)
        ready = Ready(request, plan.model_copy(update={"placement": placed}), {})
        return np.stack([*t2v.make(pipe, ready, 4, Job())])

    t2v.unload()
    fast = made("fast")
    t2v.unload()
    quality = made("quality")
    assert not np.array_equal(fast, quality)
    t2v.unload()
    for again in ("fast", "quality", "fast", "fast", "quality", "quality", "fast"):
        assert np.array_equal(made(again), {"fast": fast, "quality": quality}[again]), again
    t2v.unload()


def test_lora_that_nano_lacks_is_a_clear_error():
    with pytest.raises(WeightsError, match="use Quality"):
        lacking = replace(LORAS["lightning-2.1-i2v"], kind="vace")
        weights.resolve_lora(lacking, CHECKPOINTS["wan2.1-flf2v-14b-720p"], "nano", print)


@pytest.mark.parametrize("first_words", ["", "base_model.model."])
def test_lora_in_upstreams_own_names_finds_every_layer(shared, tmp_path, monkeypatch, first_words) -> None:
    """As the relighting LoRA is: its published size is to the byte that of these names at rank 128, in fp16."""
    pipe = load.build("WanAnimatePipeline", nano.find("animate"), Backend(), shared)
    width, inner = pipe.transformer.blocks[0].ffn.net[2].weight.shape
    square = [f"self_attn.{n}" for n in "qkvo"]
    square += [f"cross_attn.{n}" for n in ("q", "k", "v", "o", "k_img", "v_img")]
    sizes = dict.fromkeys(square, (width, width)) | {"ffn.0": (width, inner), "ffn.2": (inner, width)}
    tensors: dict[str, torch.Tensor] = {}
    for block in range(len(pipe.transformer.blocks)):
        for name, (into, out) in sizes.items():
            key = f"{first_words}blocks.{block}.{name}"
            tensors[f"{key}.lora_A.weight"] = torch.randn(2, into).half()
            tensors[f"{key}.lora_B.weight"] = torch.randn(out, 2).half()
    path = tmp_path / "relight.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    relight = LORAS["relight-2.2-animate"]
    monkeypatch.setattr(weights, "resolve_lora", lambda *_: [("transformer", path)])
    row = CHECKPOINTS["wan2.2-animate-14b"]
    lora.attach(pipe, relight.key, row, "nano", print)
    assert lora.count(pipe, relight.key, "transformer") == len(tensors) // 2
    layer = pipe.transformer.blocks[1].attn2.add_v_proj
    adapter = lora.adapter_name(relight.key, "transformer")
    assert torch.equal(
        layer.lora_A[adapter].weight, tensors[f"{first_words}blocks.1.cross_attn.v_img.lora_A.weight"].float()
    )
    assert layer.scaling[adapter] == 1  # upstream's alpha is its rank
    pipe.transformer.delete_adapters(adapter)
