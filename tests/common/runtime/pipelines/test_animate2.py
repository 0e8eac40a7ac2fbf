"""Wan-Animate-2 by segments, against diffusers' own loop over all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import Backend, Placement, Plan
from common.errors import Cancelled, WeightsError
from common.runtime.device.residency import Residency
from common.runtime.model import index, load, whole
from common.runtime.pipelines import animate2
from common.runtime.sample import stages
from tests.common.runtime.pipelines import tiny_animate2

CPU = Backend(device="cpu", name="a CPU", memory_bytes=0)
WIDTH, HEIGHT, SEGMENT, STEPS = 32, 48, 9, 2
PROMPT, NEGATIVE = "a red circle moving right", "blue square"
PLACED = Placement(precision={"transformer": "float32", "vae_decode": "float32"}, peak_bytes=1, weight_bytes=1)


def picture(number: int) -> Image.Image:
    """A square that moves by a pixel a frame."""
    made = Image.new("RGB", (WIDTH, HEIGHT), (40, 90, 160))
    made.paste((230, 200, 40), (2 + number, 10, 12 + number, 20))
    return made


DRIVING = [picture(n) for n in range(2 * SEGMENT - 1)]
IMAGE = Image.new("RGB", (WIDTH, HEIGHT), (200, 60, 90))


def plan(**values: Any) -> Plan:
    """What a mode would plan."""
    given: dict[str, Any] = {
        "mode": "animate", "checkpoint": "wan2.2-animate-14b", "weights": "wan", "preset": "quality",
        "requested_preset": "quality", "width": WIDTH, "height": HEIGHT, "num_frames": len(DRIVING), "fps": 24,
        "num_inference_steps": STEPS, "guidance_scale": 3.0, "flow_shift": 5.0, "seed": 3,
        "negative_prompt": NEGATIVE, "gpu_seconds": 0, "expected_seconds": 1.0, "clip_seconds": 1.0,
    }  # fmt: skip
    return Plan(**(given | values))


@pytest.fixture(scope="module", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("animate2")
    return {
        "base": tiny_animate2.make(root / "base", layers=10),  # without guidance, the tenth is left out
        "distilled": tiny_animate2.make(root / "distilled", distilled=True, hints_alone=True),
    }


@pytest.fixture(scope="module")
def pipes(folders: dict[str, Path]) -> dict[str, Any]:
    names = {"base": "WanAnimate2ModularPipeline", "distilled": "WanAnimate2DistilledModularPipeline"}
    return {key: load.build(name, folders[key], CPU, Residency("cpu")) for key, name in names.items()}


def segment(pipe: Any, plan: Plan, number: int, tail: Any = None, callback: Any = None, seed: int = 3) -> Any:
    """One segment of `DRIVING`, its noise from a seed of its own."""
    with torch.no_grad():
        words = animate2.read(pipe, PROMPT, NEGATIVE, plan.guidance_scale)
        begin = number * (SEGMENT - 1)
        return animate2.make_segment(
            pipe,
            words,
            plan,
            image=IMAGE,
            opening=DRIVING[0],
            driving=DRIVING[begin : begin + SEGMENT],
            tail=tail,
            generator=torch.Generator("cpu").manual_seed(seed + number),
            callback=callback or (lambda *_: None),
        )


def both(pipe: Any, plan: Plan) -> list[np.ndarray]:
    first = segment(pipe, plan, 0)
    return [first, segment(pipe, plan, 1, first[-1:])]


def stock(folder: Path, pipe: Any, steps: int, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """diffusers' own pipeline over the whole clip, with a seed for each segment's noise as `segment` has."""
    from diffusers import ModularPipeline
    from diffusers.modular_pipelines.wan_animate_2 import denoise

    drawn = iter([torch.Generator("cpu").manual_seed(3 + n) for n in range(2)])
    draw = denoise.randn_tensor
    monkeypatch.setattr(denoise, "randn_tensor", lambda *a, generator, **k: draw(*a, generator=next(drawn), **k))
    made = ModularPipeline.from_pretrained(str(folder))
    made.update_components(**{n: getattr(pipe, n) for n in made.pretrained_component_names if n != "scheduler"})
    made.update_components(scheduler=animate2.fresh_scheduler(pipe.scheduler, 5.0))
    assert type(made) is type(pipe)
    frames = made(
        image=IMAGE, driving_video=DRIVING, prompt=PROMPT, negative_prompt=NEGATIVE, width=WIDTH, height=HEIGHT,
        num_inference_steps=steps, segment_frame_length=SEGMENT, output="videos",
    )[0]  # fmt: skip
    monkeypatch.undo()
    return (np.asarray(frames) * 255).round().astype(np.uint8)


@pytest.mark.parametrize(("key", "guidance"), [("base", 3.0), ("distilled", 1.0)])
def test_segments_are_those_of_the_stock_pipeline(pipes, folders, monkeypatch, key: str, guidance: float) -> None:
    whole_clip = stock(folders[key], pipes[key], STEPS, monkeypatch)
    first, second = both(pipes[key], plan(guidance_scale=guidance))
    assert first.shape == second.shape == (SEGMENT, HEIGHT, WIDTH, 3) and first.dtype == np.uint8
    assert len(whole_clip) == 2 * SEGMENT - 1
    assert np.array_equal(first, whole_clip[:SEGMENT])
    assert np.array_equal(second[:1], first[-1:])
    # Its tail was rounded to bytes on the way.
    assert np.abs(second[1:].astype(int) - whole_clip[SEGMENT:]).max() <= 3
