"""Plans: the defaults, the presets and one clear line for every broken rule."""

import pytest

from common.catalog import NEGATIVE_PROMPT
from common.contract import Backend
from common.errors import InputError, MediaError
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


@pytest.mark.parametrize(
    ("mode", "checkpoint", "begins"),
    [
        ("t2v", "wan2.1-t2v-14b", "色调艳丽"),
        ("i2v", "wan2.1-i2v-14b-480p", "镜头晃动，色调艳丽"),
        ("i2v", "wan2.1-i2v-14b-720p", "镜头晃动，色调艳丽"),
        ("i2v", "wan2.2-i2v-a14b", "色调艳丽"),
        ("flf2v", "wan2.1-flf2v-14b-720p", "镜头切换，镜头晃动，色调艳丽"),
        ("flf2v", "wan2.2-i2v-a14b", "色调艳丽"),
        ("vace", "wan2.1-vace-14b", "色调艳丽"),
    ],
)  # fmt: skip
def test_the_negative_prompt_is_upstreams_own_for_each_checkpoint(mode, checkpoint, begins) -> None:
    given = {slot: {"path": "a.png"} for slot in ("image", "last_image") if mode in ("i2v", "flf2v")}
    if mode == "i2v":
        del given["last_image"]
    if mode == "vace":
        given = {"video": {"path": "a.mp4"}}
    p = plan(mode, checkpoint=checkpoint, **given)
    assert p.negative_prompt.startswith(begins) and p.negative_prompt.endswith(NEGATIVE_PROMPT)
    said = plan(mode, checkpoint=checkpoint, negative_prompt=p.negative_prompt, guidance_scale=1, **given)
    assert not any("negative prompt" in text for text in said.notices), "its own is no wish"


MOE = "wan2.2-t2v-a14b"
ALONE = "Without guidance in the high-noise steps there is none in the low-noise ones either."


@pytest.mark.parametrize("preset", ["fast", "quality"])
def test_guidance_of_the_low_expert_alone_is_refused(preset: str) -> None:
    with pytest.raises(InputError) as refused:
        plan(checkpoint=MOE, preset=preset, guidance_scale=1, guidance_scale_2=3)
    assert refused.value.field == "guidance_scale_2"
    assert "; got 3, try a guidance_scale above 1, or guidance_scale_2 1" in refused.value.text


def test_guidance_of_the_low_expert_that_a_preset_has_is_taken_back_with_a_notice() -> None:
    p = plan(checkpoint=MOE, preset="quality", guidance_scale=1)
    assert p.guidance_scale_2 == 1 and ALONE in p.notices
    for scales in (
        {},
        {"guidance_scale": 4, "guidance_scale_2": 1},
        {"guidance_scale": 1, "guidance_scale_2": 0.5},
    ):
        assert ALONE not in plan(checkpoint=MOE, preset="quality", **scales).notices


def test_a_size_far_below_what_a_checkpoint_was_trained_for_is_told() -> None:
    pictures = {"image": {"path": "a.png"}, "last_image": {"path": "b.png"}}
    flf2v = {"checkpoint": "wan2.1-flf2v-14b-720p", **pictures}
    told = [text for text in plan("flf2v", **flf2v, width=832, height=480).notices if "smaller than" in text]
    assert told == [
        "832x480 is smaller than what Wan 2.1 FLF2V-14B-720P was trained for (1280x720); the video may look worse "
        "than at that size."
    ]
    for values in ({}, {"width": 960, "height": 960}):
        assert not any("smaller than" in text for text in plan("flf2v", **flf2v, **values).notices)
    assert not any("smaller than" in text for text in plan(weights="nano").notices)


def test_fastwan_says_that_its_sparse_attention_is_gone() -> None:
    assert any("sparse attention" in text for text in plan(checkpoint="fastwan2.1-t2v-1.3b").notices)
    assert not any(
        "sparse" in text for text in plan(checkpoint="fastwan2.2-ti2v-5b").notices
    )  # its FullAttn one


CLIP_SLOTS = [(key, slot.name) for key, mode in MODES.items() for slot in mode.slots if slot.kind == "video"]


@pytest.mark.parametrize(("key", "slot"), CLIP_SLOTS)
@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        ({"path": "a.png"}, "image/png"),
        ({"path": "a", "orig_name": "A.JPG"}, "image/jpeg"),
        ({"path": "a.mp4", "mime": "image/webp"}, "image/webp"),
    ],
)
def test_a_picture_where_a_clip_belongs_is_refused_with_the_plan(
    key: str, slot: str, picture: dict, kind: str
) -> None:
    mode = MODES[key]
    given = {s.name: {"path": "a.mp4" if s.kind == "video" else "a.png"} for s in mode.slots if s.required}
    request = mode.parse({"prompt": "a", **given, slot: picture})
    with pytest.raises(MediaError) as refused:
        mode.plan(request)
    assert (
        str(refused.value)
        == f"{slot} must be a clip, and is a picture; got {kind}, give a video, such as an mp4"
    )
    assert refused.value.field == slot
