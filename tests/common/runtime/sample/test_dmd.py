"""FastWan's sampler: its noise levels and steps against values worked out by hand, its noise from the seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from common.catalog import CHECKPOINTS
from common.runtime.sample.dmd import DMDScheduler

FASTWAN = "fastwan2.1-t2v-1.3b"
STEPS = (1000, 757, 522)


def scheduler(steps: int, seed: int = 3) -> DMDScheduler:
    made = DMDScheduler(STEPS, 8.0, torch.Generator().manual_seed(seed))
    made.set_timesteps(steps, device="cpu")
    return made


def test_three_steps_are_those_of_the_distillation() -> None:
    made = scheduler(3)
    assert made.timesteps.tolist() == [1000, 757, 522]
    assert made.sigmas.tolist() == pytest.approx([1, 0.757, 0.522, 0])


def test_other_counts_are_even_under_the_shift() -> None:
    # 8s / (1 + 7s) at s = 1, 3/4, 1/2, 1/4
    made = scheduler(4)
    assert made.sigmas.tolist() == pytest.approx([1, 24 / 25, 8 / 9, 8 / 11, 0])
    assert made.timesteps.tolist() == pytest.approx([1000, 960, 8000 / 9, 8000 / 11])


def test_each_step_predicts_the_clean_clip_and_noises_it_anew() -> None:
    made = scheduler(3)
    source = torch.Generator().manual_seed(3)
    first, second = (torch.randn(1, 2, generator=source) for _ in range(2))
    sample, velocity = torch.tensor([[2.0, -1.0]]), torch.tensor([[0.5, 0.25]])
    wanted = 0.243 * (sample - velocity) + 0.757 * first
    sample = made.step(velocity, made.timesteps[0], sample, return_dict=False)[0]
    assert torch.allclose(sample, wanted, atol=1e-6)
    wanted = 0.478 * (sample - 0.757 * velocity) + 0.522 * second
    sample = made.step(velocity.bfloat16(), made.timesteps[1], sample, return_dict=False)[0]
    assert sample.dtype == torch.float32 and torch.allclose(sample, wanted, atol=1e-6)
    wanted = sample - 0.522 * velocity
    sample = made.step(velocity, made.timesteps[2], sample, return_dict=False)[0]
    assert torch.allclose(sample, wanted, atol=1e-6)
    assert torch.allclose(made.model_outputs[-1], wanted, atol=1e-6)


def test_the_seed_decides_and_nothing_before_matters(run) -> None:
    values = {"checkpoint": FASTWAN, "preset": "fast", "num_inference_steps": 3}
    first = run(**values).frames
    four = run(**values | {"num_inference_steps": 4}).frames
    torch.manual_seed(99)
    assert np.array_equal(first, run(**values).frames)
    assert not np.array_equal(first, four)
    assert not np.array_equal(first, run(**values, seed=8).frames)
    assert not np.array_equal(first, run(**values, flow_shift=3.0).frames)


def test_the_scheduler_is_swapped_for_each_job(run, t2v, monkeypatch: pytest.MonkeyPatch) -> None:
    presets = {**CHECKPOINTS[FASTWAN].presets, "quality": CHECKPOINTS["wan2.1-t2v-1.3b"].presets["quality"]}
    monkeypatch.setitem(CHECKPOINTS, FASTWAN, replace(CHECKPOINTS[FASTWAN], presets=presets))  # type: ignore
    fast = {"checkpoint": FASTWAN, "preset": "fast", "num_inference_steps": 3}
    slow = {"checkpoint": FASTWAN, "preset": "quality", "num_inference_steps": 3}
    quality = run(**slow).frames
    first = run(**fast).frames
    placed = t2v.plan(t2v.mode.parse({"prompt": "x", "checkpoint": FASTWAN})).placement
    assert isinstance(t2v._pipe(FASTWAN, placed, print).scheduler, UniPCMultistepScheduler)
    assert np.array_equal(quality, run(**slow).frames)
    assert np.array_equal(first, run(**fast).frames)
    assert not np.array_equal(first, quality)
