"""Wan-S2V's transformer against upstream's: its kept numbers, and itself where it is at hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.hooks import apply_group_offloading
from peft import LoraConfig
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.runtime.pipelines.s2v.transformer import WanS2VTransformer3DModel
from tests.common.runtime.pipelines.s2v import tiny, upstream
from tests.common.runtime.pipelines.s2v.seeded import CASES, Case, inputs, some

GOLDENS = json.loads((Path(__file__).parent / "goldens.json").read_text("utf-8"))
CLOSE = 3e-5
"""Of the largest value; 2.4e-6 was measured. The kept values have six digits."""


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@cache
def sample(case: str) -> Tensor:
    return denoise(tiny.model(CASES[case].config), CASES[case])


@torch.no_grad()
def denoise(model: Any, case: Case, **changed: Any) -> Tensor:
    return model(**{**inputs(case), **changed}).sample


def apart(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max() / other.abs().max())


@pytest.mark.parametrize("case", CASES)
def test_it_gives_what_upstream_gave(case: str) -> None:
    made, kept = sample(case), GOLDENS[case]
    assert [*made.shape] == kept["shape"]
    assert apart(torch.tensor(some(made)), torch.tensor(kept["some"])) < CLOSE
    assert float(made.double().mean()) == pytest.approx(kept["mean"], abs=1e-5)
    assert float(made.double().std()) == pytest.approx(kept["std"], rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_it_gives_what_upstream_gives(case: str) -> None:
    if reason := upstream.why_not():
        pytest.skip(reason)
    assert apart(sample(case), upstream.sample(CASES[case])) < CLOSE


def test_the_kept_numbers_tell_the_cases_apart() -> None:
    """But for two that mean the same: nothing dropped, and nothing added."""
    kept = {name: torch.tensor(golden["some"]) for name, golden in GOLDENS.items() if name != "two at once"}
    alike = [
        {one, other} for one in kept for other in kept if one < other and apart(kept[one], kept[other]) < 1e-3
    ]
    assert alike == [{"drop nothing", "later clip"}, {"the config adds none", "the farthest alone"}]


def test_the_guidances_two_halves_at_once_are_what_each_is_alone() -> None:
    model, case = tiny.model(), Case(batch=2)
    both = inputs(case)
    made = denoise(model, case)
    for i in range(2):
        alone = {name: value[i : i + 1] for name, value in both.items() if isinstance(value, Tensor)}
        assert apart(denoise(model, case, **alone), made[i : i + 1]) < CLOSE


def test_no_poses_are_as_good_as_zeros() -> None:
    zeros = torch.zeros_like(inputs(Case())["hidden_states"])
    assert torch.equal(denoise(tiny.model(), Case(), pose_latents=zeros), sample("later clip"))


def test_a_first_clip_knows_nothing_of_what_came_before() -> None:
    other = torch.randn_like(inputs(Case())["motion_latents"])
    assert torch.equal(denoise(tiny.model(), Case(first=True), motion_latents=other), sample("first clip"))


def test_without_a_timestep_of_their_own_the_clean_tokens_have_the_clips() -> None:
    """Upstream's code for that fails."""
    model = tiny.model({"zero_timestep": False})
    assert apart(denoise(model, Case()), sample("later clip")) > 1e-3
    start = {"timestep": torch.zeros(1)}
    assert apart(denoise(model, Case(), **start), denoise(tiny.model(), Case(), **start)) < CLOSE


def test_it_gives_a_tuple_to_who_wants_one() -> None:
    with torch.no_grad():
        (made,) = tiny.model()(**inputs(Case()), return_dict=False)
    assert torch.equal(made, sample("later clip"))


def test_it_says_how_long_the_sound_must_be() -> None:
    given = inputs(Case())
    with pytest.raises(
        ValueError, match="sound of 8 frames behind 73 gives 2 latent ones for a clip of 3; it must have 12"
    ):
        denoise(tiny.model(), Case(), audio_embeds=given["audio_embeds"][..., :8])


@pytest.mark.parametrize("config", [{"adain_mode": "other"}, {"framepack_drop_mode": "other"}])
def test_it_refuses_what_upstream_never_had(config: Mapping[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected 'attn_norm'|expected 'drop' or 'padd'"):
        WanS2VTransformer3DModel(num_attention_heads=2, attention_head_dim=12, num_layers=1, **config)


def test_what_must_be_exact_stays_in_float32(tmp_path: Path) -> None:
    tiny.model().save_pretrained(tmp_path)
    model = WanS2VTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    exact = {name for name, held in model.named_parameters() if held.dtype == torch.float32}
    for part in ("time_embedder", "causal_audio_encoder", "scale_shift_table", "norm2", "proj_out"):
        named = {name for name, _ in model.named_parameters() if part in name.split(".")}
        assert named and named <= exact
    assert model.blocks[0].attn1.to_q.weight.dtype == model.dtype == torch.bfloat16
    given = {
        name: value.bfloat16() if isinstance(value, Tensor) and name != "timestep" else value
        for name, value in inputs(Case(pose=True)).items()
    }
    made = denoise(model, Case(pose=True), **given)
    assert made.dtype == torch.float32
    assert float((made - sample("later clip, poses")).norm() / sample("later clip, poses").norm()) < 0.03


class _Plain(TorchDispatchMode):
    """Fails where anything on the device has numbers that Apple's GPUs lack."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        for held in tree_leaves(made):
            if isinstance(held, Tensor) and held.device.type == "meta":
                self.seen += 1
                assert held.dtype not in (torch.float64, torch.complex64, torch.complex128), func
        return made


def test_no_float64_and_no_complex_numbers_get_to_the_device() -> None:
    model = tiny.model().to("meta")
    given = {n: v.to("meta") if isinstance(v, Tensor) else v for n, v in inputs(Case(pose=True)).items()}
    with _Plain() as watching:
        made = model(**given).sample
    assert made.shape == given["hidden_states"].shape and watching.seen > 1000


def test_blocks_and_injectors_wait_outside_the_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model()
    cpu = torch.device("cpu")
    apply_group_offloading(
        model, onload_device=cpu, offload_device=cpu, offload_type="block_level", num_blocks_per_group=1
    )
    hooked = {name for name, part in model.named_modules() if hasattr(part, "_diffusers_hook")}
    assert {"blocks.2", "audio_injector.injector.1", "audio_injector.injector_adain_layers.1"} <= hooked
    assert torch.equal(denoise(model, Case()), sample("later clip"))


def test_a_lora_changes_it_as_far_as_its_scale() -> None:
    model = tiny.model()
    targets = ["attn1.to_q", "attn2.to_v", "ffn.net.0.proj", "injector.0.to_out.0"]
    model.add_adapter(LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    assert apart(denoise(model, Case()), sample("later clip")) > 1e-3
    assert apart(denoise(model, Case(), attention_kwargs={"scale": 0.0}), sample("later clip")) < CLOSE


def test_it_can_be_trained() -> None:
    model = tiny.model().train()
    model(**inputs(Case(pose=True))).sample.square().mean().backward()
    assert not [name for name, held in model.named_parameters() if held.grad is None]
