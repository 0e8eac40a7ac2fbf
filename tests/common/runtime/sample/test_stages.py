"""The ways to make a job fit change where things lie, not what is made."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import WanTransformer3DModel

from common.contract import Backend, Placement
from common.run.service import Ready
from common.runtime.engine import Engine
from common.runtime.job import Job
from common.runtime.model import cpu_vae
from common.runtime.model.settle import settle

PLAIN = Placement(
    precision={"transformer": "float32", "text_encoder": "float32", "vae": "float32", "image_encoder": "float32",
               "vae_decode": "float32"},
    peak_bytes=0, weight_bytes=0,
)  # fmt: skip


def made(engine: Engine[Any], frames: int = 9, **changes: Any) -> np.ndarray:
    """The frames of one short clip under a placement."""
    request = engine.mode.parse({
        "prompt": "a red circle moving right on a black background", "checkpoint": "wan2.1-t2v-1.3b",
        "num_frames": frames, "num_inference_steps": 3, "preset": "quality", "seed": 5,
    })  # fmt: skip
    plan = engine.plan(request).model_copy(update={"placement": PLAIN.model_copy(update=changes)})
    pipe = engine._pipe(plan.checkpoint, plan.placement, print)
    return np.stack([*engine.make(pipe, Ready(request, plan, {}), 3, Job())])


@pytest.fixture(scope="module")
def plain(t2v: Engine[Any]) -> np.ndarray:
    return made(t2v)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b.astype(float)) ** 2).mean()
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def test_placement_with_the_text_encoder_away_makes_the_same_frames(
    t2v: Engine[Any], plain: np.ndarray
) -> None:
    for _ in range(2):  # the second time it comes from where it was sent
        assert np.array_equal(made(t2v, offload="text_encoder"), plain)
    assert np.array_equal(made(t2v), plain), "and it is back"


def test_placement_with_blocks_that_wait_makes_the_same_frames(t2v: Engine[Any], plain: np.ndarray) -> None:
    assert np.array_equal(made(t2v, offload="group"), plain)
    assert np.array_equal(made(t2v), plain)


def test_placement_that_decodes_in_bf16_makes_frames_that_look_the_same(
    t2v: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(t2v, frames=1)
    # What speeds a CPU up wants newer instructions for bf16 than some machines have.
    monkeypatch.setattr(cpu_vae, "speed_up", lambda _: None)
    t2v.seat.residency.unload()
    with torch.backends.mkldnn.flags(enabled=False):
        half = made(t2v, frames=1, precision={**PLAIN.precision, "vae_decode": "bfloat16"})
        own = made(t2v, frames=1)
    t2v.seat.residency.unload()
    assert 35 < psnr(half, plain) < 80
    assert psnr(own, plain) > 60, "the VAE itself was not cast"


def test_placement_that_decodes_in_tiles_makes_frames_that_look_the_same(
    t2v: Engine[Any], plain: np.ndarray
) -> None:
    assert psnr(made(t2v, tiling=True), plain) > 30
    assert np.array_equal(made(t2v), plain), "the next job does not"


def test_placement_in_8_bits_codes_the_blocks_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchao.quantization.quant_api._check_hardware_support", lambda *_: None)
    torch.manual_seed(0)
    transformer = WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=128, ffn_dim=512, num_layers=2, text_dim=64, freq_dim=64
    ).bfloat16()
    asked: dict[str, Any] = {
        "hidden_states": torch.randn(1, 16, 2, 8, 8).bfloat16(), "timestep": torch.tensor([500]),
        "encoder_hidden_states": torch.randn(1, 7, 64).bfloat16(), "return_dict": False,
    }  # fmt: skip
    with torch.no_grad():
        (before,) = transformer(**asked)
        coded = PLAIN.model_copy(update={"precision": {**PLAIN.precision, "transformer": "float8"}})
        pipe = SimpleNamespace(transformer=transformer, transformer_2=None)
        settle(pipe, coded, Backend(capability=(9, 0)))
        (after,) = transformer(**asked)
    assert 0 < ((after - before).norm() / before.norm()).item() < 0.1
    named = {name: type(module.weight).__name__ for name, module in transformer.named_modules()
             if isinstance(module, torch.nn.Linear)}  # fmt: skip
    assert {kind for name, kind in named.items() if name.startswith("blocks.")} == {"Float8Tensor"}
    assert {kind for name, kind in named.items() if not name.startswith("blocks.")} == {"Parameter"}
