"""Names and config of Wan-S2V's weights elsewhere, held against the published ones."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
import torch

from common.errors import WeightsError
from common.runtime.pipelines.s2v import mapping
from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from tests.common.runtime.pipelines.s2v.make_goldens import NUMBERED, PUBLISHED_CONFIG

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text("utf-8"))
NAMES = [
    name.replace("*", str(i)) for name, (_, count) in PUBLISHED.items() for i in range(count)
]  # fmt: skip


@cache
def own() -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        model = WanS2VTransformer3DModel.from_config(mapping.own_config(PUBLISHED_CONFIG))
    return {name: tuple(held.shape) for name, held in model.state_dict().items()}


def test_every_published_weight_has_its_place_and_size() -> None:
    sizes = own()
    names = mapping.own_names(NAMES, sizes)
    assert len(NAMES) == 1260 and set(names) == set(NAMES) and sorted(names.values()) == sorted(sizes)
    found = Counter((NUMBERED.sub(r"\1.*.", name), sizes[names[name]]) for name in NAMES)
    assert found == {(name, tuple(size)): count for name, (size, count) in PUBLISHED.items()}


def test_the_defaults_are_the_published_models() -> None:
    with torch.device("meta"):
        model = WanS2VTransformer3DModel()
    assert {name: tuple(held.shape) for name, held in model.state_dict().items()} == own()
    assert {**mapping.own_config(PUBLISHED_CONFIG), **model.config} == dict(model.config)


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("blocks.7.self_attn.o.bias", "blocks.7.attn1.to_out.0.bias"),
        ("blocks.7.cross_attn.norm_k.weight", "blocks.7.attn2.norm_k.weight"),
        ("blocks.39.norm3.bias", "blocks.39.norm2.bias"),
        ("blocks.0.ffn.0.weight", "blocks.0.ffn.net.0.proj.weight"),
        ("blocks.3.modulation", "blocks.3.scale_shift_table"),
        ("head.modulation", "scale_shift_table"),
        ("head.head.bias", "proj_out.bias"),
        ("audio_injector.injector.11.q.weight", "audio_injector.injector.11.to_q.weight"),
        ("cond_encoder.bias", "condition_embedder.pose_embedder.bias"),
        ("frame_packer.proj_4x.weight", "frame_packer.proj_4x.weight"),
        (
            "casual_audio_encoder.encoder.conv2.conv.weight",
            "condition_embedder.causal_audio_encoder.encoder.conv2.conv.conv.weight",
        ),
        ("casual_audio_encoder.weights", "condition_embedder.causal_audio_encoder.weighted_avg.weights"),
    ],
)
def test_upstreams_names(name: str, here: str) -> None:
    assert mapping.own_names(NAMES, own())[name] == here


def test_names_of_diffusers_and_of_its_early_form_are_known() -> None:
    sizes = own()
    assert mapping.own_names(sizes, sizes) == {name: name for name in sizes}
    early = mapping.own_names(map(mapping.early, sizes), sizes)
    changed = {name: here for name, here in early.items() if name != here}
    prefix = "condition_embedder.causal_audio_encoder"
    assert changed.pop(f"{prefix}.weights") == f"{prefix}.weighted_avg.weights"
    assert changed.pop(f"{prefix}.encoder.conv3.conv.bias") == f"{prefix}.encoder.conv3.conv.conv.bias"
    assert len(changed) == 3


def test_what_is_unknown_or_missing_is_named() -> None:
    names = [*NAMES, "motioner.token", "zip_motion_out.1.bias"]
    names.remove("head.head.bias")
    with pytest.raises(WeightsError) as caught:
        mapping.own_names(names, own())
    assert caught.value.text == (
        "These are not the weights of this Wan-S2V, which does not know 2 weights (motioner.token, "
        "zip_motion_out.1.bias) and misses 1 weights (head.head.bias)"
    )


def test_another_models_weights_are_refused_shortly() -> None:
    with pytest.raises(WeightsError) as caught:
        mapping.own_names(["model.embed.weight"], own())
    assert len(caught.value.text) < 400


def test_a_config_of_diffusers_stays_as_it_is() -> None:
    config = {"num_attention_heads": 2, "framepack_drop_mode": "drop"}
    assert mapping.own_config(config) == config


@pytest.mark.parametrize("other", [{"enable_motioner": True}, {"num_audio_token": 8}])
def test_a_config_of_what_was_never_published_is_refused(other: dict[str, int]) -> None:
    with pytest.raises(WeightsError, match=f"{next(iter(other))}.*Wan2.2-S2V-14B has"):
        mapping.own_config({**PUBLISHED_CONFIG, **other})
