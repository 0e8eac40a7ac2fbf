"""Plans: the defaults, the presets and one clear line for every broken rule."""

import pytest

from common.catalog import NEGATIVE_PROMPT
from common.contract import Backend
from common.errors import InputError
from common.modes.all import MODES

T2V = MODES["t2v"]


def plan(mode: str = "t2v", weights: str = "wan", **values):
    m = MODES[mode]
    return m.plan(m.parse({"prompt": "a fox", **values}), Backend(), weights=weights)


def test_default_plan_is_the_first_checkpoint_on_fast() -> None:
    p = plan(seed=7)
    assert (p.checkpoint, p.preset, p.num_inference_steps, p.seed) == ("wan2.2-t2v-a14b", "fast", 4, 7)
    assert (p.width, p.height, p.num_frames, p.fps) == (832, 480, 81, 16)
    assert (p.guidance_scale, p.guidance_scale_2, p.flow_shift) == (1.0, 1.0, 5.0)
    assert p.loras == [("lightning-2.2-t2v", 1.0)]


def test_fast_without_lightning_falls_back_to_quality_and_says_so() -> None:
    p = plan(checkpoint="wan2.1-t2v-1.3b", preset="fast")
    assert (p.preset, p.requested_preset, p.num_inference_steps) == ("quality", "fast", 30)
    assert p.notices[0].startswith("Lightning unavailable for Wan 2.1 T2V-1.3B")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"prompt": "  "}, "prompt must not be empty; describe what should be seen"),
        ({"num_frames": 80}, "num_frames must be 4k+1; got 80, try 77 or 81"),
        ({"num_frames": 0}, "num_frames must be between 1 and 129; got 0"),
        ({"width": 830, "height": 480}, "width must be a multiple of 16"),
        ({"width": 832}, "height is required when the other side is given"),
        ({"checkpoint": "wan2.2-ti2v-5b", "width": 1280, "height": 720}, "height must be a multiple of 32"),
        ({"width": 1920, "height": 1088}, "width x height must be at most"),
        ({"checkpoint": "wan9"}, "checkpoint must be one that t2v runs; got 'wan9'"),
        ({"preset": "slow"}, "preset must be fast or quality; got 'slow'"),
        ({"num_inference_steps": 51}, "num_inference_steps must be between 1 and 50; got 51"),
        ({"num_inference_steps": 0}, "num_inference_steps must be between 1 and 50; got 0"),
        ({"seed": -2}, "seed must be between -1 and 2147483647; got -2"),
        ({"checkpoint": "wan2.1-t2v-14b", "guidance_scale_2": 3.0}, "guidance_scale_2 belongs to two-expert"),
        ({"guidance_scale": 10.5}, "guidance_scale must be between 0 and 10; got 10.5"),
        (
            {"guidance_scale": float("nan")},
            "guidance_scale is not valid: input should be a finite number; got nan",
        ),
        ({"flow_shift": 0}, "flow_shift must be between 0.1 and 20; got 0"),
        (
            {"negative_prompt": "x" * 20_001},
            "negative_prompt is not valid: text must be at most 20000 characters",
        ),
        ({"strenght": 1}, "strenght is not an input of t2v"),
    ],
)
def test_bad_input_names_input_rule_and_way_out(values: dict, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**values)
    assert text in str(error.value)


def test_nano_refuses_real_sizes_and_names_its_own() -> None:
    with pytest.raises(InputError, match="got 832x480, try 128x128, 192x128, 128x192"):
        plan(weights="nano", width=832, height=480)


def test_an_emptied_negative_prompt_is_empty_and_none_is_the_models_own() -> None:
    assert plan(negative_prompt="").negative_prompt == ""
    assert plan(negative_prompt=None).negative_prompt == plan().negative_prompt == NEGATIVE_PROMPT
