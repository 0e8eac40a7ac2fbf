"""FLF2V: defaults by hand from the facts, and each silent failure as one clear line."""

import pytest

from common.contract import Backend
from common.errors import InputError
from common.modes.flf2v import CHINESE_HINT, MODE

PICTURE = {"path": "a.png"}


def plan(weights: str = "wan", **values):
    values = {"prompt": "a penguin takes flight", "image": PICTURE, "last_image": PICTURE, **values}
    return MODE.plan(
        MODE.parse({k: v for k, v in values.items() if v is not None}), Backend(), weights=weights
    )


def test_quality_is_30_steps_at_cfg_5_5_and_shift_16() -> None:
    p = plan(preset="quality")
    assert (p.checkpoint, p.num_inference_steps, p.guidance_scale, p.flow_shift) == (
        "wan2.1-flf2v-14b-720p", 30, 5.5, 16.0,
    )  # fmt: skip
    assert (p.width, p.height, p.num_frames, p.fps) == (1280, 720, 81, 16)


def test_fast_is_experimental_and_says_so() -> None:
    p = plan()
    assert (p.num_inference_steps, p.guidance_scale, p.flow_shift) == (4, 1.0, 5.0)
    assert p.loras == [("lightning-2.1-i2v", 1.0)]
    assert any("Experimental" in n for n in p.notices)


def test_the_second_checkpoint_is_i2v_a14b_with_two_experts() -> None:
    p = plan(checkpoint="wan2.2-i2v-a14b", preset="quality")
    assert (p.guidance_scale, p.guidance_scale_2, p.flow_shift, p.num_inference_steps) == (3.5, 3.5, 5.0, 30)
    assert MODE.generations() == ["2.1", "2.2"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"last_image": None}, "last_image is required; give end frame"),
        ({"image": None}, "image is required; give start frame"),
        ({"num_frames": 1}, "num_frames must be at least 5 between a first and a last frame; got 1, try 5"),
        ({"width": 832, "height": 480, "video": PICTURE}, "video is not an input of flf2v"),
        ({"width": 1280, "height": 724}, "height must be a multiple of 16"),
        ({"guidance_scale_2": 3.0}, "guidance_scale_2 belongs to two-expert"),
        ({"num_inference_steps": 51}, "num_inference_steps must be between 1 and 50"),
        ({"checkpoint": "wan2.2-ti2v-5b"}, "checkpoint must be one that flf2v runs"),
    ],
)
def test_bad_input_names_input_rule_and_way_out(values: dict, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**values)
    assert text in str(error.value)


def test_chinese_hint_only_for_the_checkpoint_trained_on_chinese() -> None:
    assert CHINESE_HINT in plan().notices
    assert CHINESE_HINT not in plan(prompt="一只企鹅展翅高飞").notices
    assert CHINESE_HINT not in plan(checkpoint="wan2.2-i2v-a14b").notices
    assert CHINESE_HINT not in plan("nano").notices


def test_each_slot_chooses_its_own_frame_of_a_clip() -> None:
    request = MODE.parse({"prompt": "x", "image": PICTURE, "last_image": PICTURE, "last_image_from": 1.5})
    assert (request.image_from, request.last_image_from) == ("first", 1.5)
