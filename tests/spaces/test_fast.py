"""Fast without Lightning (FastWan), and the 2.1 LoRA on both experts of 2.2 I2V."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.modes.all import MODES
from common.modes.i2v import HYBRID
from tests.spaces import media_for_modes as media

PICTURE = {"path": "a.png"}


def plan(**values):
    mode = MODES["i2v"]
    return mode.plan(mode.parse({"prompt": "x", "image": PICTURE, **values}), Backend(), weights="wan")


def test_hybrid_replaces_the_pair_and_says_that_it_is_experimental() -> None:
    assert plan().loras == [("lightning-2.2-i2v", 1.0)]
    p = plan(hybrid=True)
    assert p.loras == [(HYBRID, 1.0)] and any("Experimental" in n for n in p.notices)


@pytest.mark.parametrize("values", [{"preset": "quality"}, {"checkpoint": "wan2.1-i2v-14b-480p"}])
def test_hybrid_elsewhere_has_no_effect_and_says_so(values: dict) -> None:
    p = plan(hybrid=True, **values)
    assert HYBRID not in [k for k, _ in p.loras] and any("no effect here" in n for n in p.notices)


def test_hybrid_goes_into_both_experts(make, service, tmp_path) -> None:
    picture = media.picture(tmp_path / "a.png")
    _, events = make("i2v", checkpoint="wan2.2-i2v-a14b", image=picture, hybrid=True, preset="fast")
    assert events[-1].plan.loras == [(HYBRID, 1.0)]
    from common.runtime.model import lora

    plan = events[-1].plan
    pipe = service("i2v")._pipe(plan.checkpoint, plan.placement, print)
    assert lora.count(pipe, HYBRID, "transformer") and lora.count(pipe, HYBRID, "transformer_2")


@pytest.mark.parametrize(
    ("mode", "checkpoint"), [("t2v", "fastwan2.1-t2v-1.3b"), ("t2v", "fastwan2.2-ti2v-5b")]
)
def test_fastwan_has_three_steps_no_lora_and_no_quality(mode: str, checkpoint: str) -> None:
    m = MODES[mode]  # pyright: ignore[reportArgumentType]
    for preset in ("fast", "quality"):
        p = m.plan(m.parse({"prompt": "x", "checkpoint": checkpoint, "preset": preset}), weights="wan")
        assert (p.preset, p.num_inference_steps, p.guidance_scale, p.loras) == ("fast", 3, 1.0, [])
    assert any("has no Quality preset" in n for n in p.notices)


def levels(pipe: Any) -> tuple[list[list[float]], Any]:
    """The different timesteps that the transformer is told at each call, and the hook to remove."""
    told: list[list[float]] = []

    def tell(_: Any, args: Any, values: Any) -> None:
        told.append(sorted({round(float(t), 2) for t in values["timestep"].flatten()}))

    return told, pipe.transformer.register_forward_pre_hook(tell, with_kwargs=True)


@pytest.mark.parametrize(
    ("mode", "checkpoint", "wanted"),
    [
        ("t2v", "fastwan2.1-t2v-1.3b", [[1000], [757], [522]]),
        ("t2v", "fastwan2.2-ti2v-5b", [[1000], [757], [522]]),
        ("i2v", "fastwan2.2-ti2v-5b", [[0, 1000], [0, 757], [0, 522]]),  # the given frame has no noise
        ("v2v", "fastwan2.1-t2v-1.3b", [[757], [522]]),  # strength 0.8 of 3 steps
    ],
)
def test_fastwan_samples_at_the_levels_it_was_distilled_at(
    make, service, tmp_path, mode: str, checkpoint: str, wanted: list
) -> None:
    given: dict[str, Any] = {
        "t2v": {},
        "i2v": {"image": media.picture(tmp_path / "a.png")},
        "v2v": {"video": media.clip(tmp_path / "a.mp4"), "strength": 0.8},
    }[mode]
    engine = service(mode)
    slots = {slot.name: {"path": "x"} for slot in engine.mode.slots if slot.required}
    plan = engine.plan(engine.mode.parse({"prompt": "x", "checkpoint": checkpoint, **slots}))
    pipe = engine._pipe(checkpoint, plan.placement, print)
    told, hook = levels(pipe)
    path, events = make(mode, checkpoint=checkpoint, num_inference_steps=3, **given)
    hook.remove()
    assert told == wanted
    assert sum(e.type == "preview" for e in events) == len(wanted)
    note = CHECKPOINTS[checkpoint].presets["fast"].note
    assert events[-1].plan.notices == ([note] if note else [])
    again, _ = make(mode, checkpoint=checkpoint, num_inference_steps=3, **given)
    assert np.array_equal(media.read(path), media.read(again))
