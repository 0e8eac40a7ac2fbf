"""V2V: strength, length and frame rate of the clip, and each silent failure as one clear line."""

import pytest

from common.contract import Backend
from common.errors import InputError
from common.modes.v2v import MODE

UNOPENED = {"path": "a.mp4"}


def clip(frames: int, fps: float) -> dict:
    return {"path": "a.mp4", "mime": "video/mp4", "frames": frames, "fps": fps, "seconds": frames / fps}


def plan(weights: str = "wan", **values):
    values = {"prompt": "watercolour", "video": UNOPENED, **values}
    return MODE.plan(
        MODE.parse({k: v for k, v in values.items() if v is not None}), Backend(), weights=weights
    )


def test_dense_t2v_checkpoints_only() -> None:
    # A14B would silently lose its second expert, TI2V's 16x VAE crashes.
    assert MODE.checkpoints == ("wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "fastwan2.1-t2v-1.3b")
    for key in ("wan2.2-t2v-a14b", "wan2.2-ti2v-5b"):
        with pytest.raises(InputError, match="checkpoint must be one that v2v runs"):
            plan(checkpoint=key)


def test_strength_decides_how_many_steps_run() -> None:
    # int(30 * 0.7) = 21 and int(4 * 0.7) = 2, as diffusers counts.
    request = MODE.parse({"prompt": "x", "video": UNOPENED})
    assert MODE.denoising_steps(request, 30) == 21
    assert MODE.denoising_steps(request, 4) == 2
    assert plan().strength == 0.7


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"video": None}, "video is required; give source video"),
        ({"strength": 0.2, "num_inference_steps": 4}, "strength x num_inference_steps must be at least 1"),
        ({"strength": 0.2, "num_inference_steps": 4}, "got 0.2 x 4, try a strength of 0.25 or more steps"),
        ({"strength": 0}, "strength must be above 0 and at most 1; got 0"),
        ({"strength": 1.2}, "strength must be above 0 and at most 1; got 1.2, try 0.7"),
        ({"video": clip(33, 16), "num_frames": 81}, "num_frames must not exceed what video has: 33 frames"),
        ({"video": clip(33, 16), "num_frames": 81}, "try 33 or leave it empty"),
        ({"num_frames": 80}, "num_frames must be 4k+1; got 80"),
        ({"width": 832, "height": 470}, "height must be a multiple of 16"),
    ],
)
def test_bad_input_names_input_rule_and_way_out(values: dict, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**values)
    assert text in str(error.value)


@pytest.mark.parametrize(
    ("frames", "fps", "used"),
    [
        (81, 16, 81),
        (80, 16, 77),  # 4k+1 below
        (200, 16, 81),  # what the model was trained on
        (121, 24, 81),  # 121 frames at 24 fps are 80.7 at 16
        (60, 30, 29),  # 2 s at 16 fps are 32 frames
        (3, 16, 1),
    ],
)
def test_length_comes_from_the_clip(frames: int, fps: float, used: int) -> None:
    assert plan(video=clip(frames, fps)).num_frames == used


def test_what_is_cut_and_resampled_is_said() -> None:
    notices = plan(video=clip(240, 24)).notices
    assert "video is resampled from 24 to 16 fps." in notices
    assert "video has 160 frames at 16 fps; the first 81 are used." in notices
    assert not [n for n in plan(video=clip(81, 16)).notices if n.startswith("video")]


def test_fastwan_runs_three_steps_without_a_lora() -> None:
    p = plan(checkpoint="fastwan2.1-t2v-1.3b")
    assert (p.preset, p.num_inference_steps, p.guidance_scale, p.loras) == ("fast", 3, 1.0, [])


def test_what_becomes_of_a_long_clip_is_told_as_soon_as_its_seconds_are_known() -> None:
    notices = plan(video={"path": "a.mp4", "mime": "video/mp4", "seconds": 30.0}).notices
    assert "video has 480 frames at 16 fps; the first 81 are used." in notices


def test_what_is_cut_away_is_told_as_soon_as_the_size_is_known() -> None:
    # 832 x 480 of 12000 x 80: 1 - (832 / 480) / (12000 / 80) = 98.8%.
    said = "video is 12000x80; its centre is cut out for 832x480 (99% of it is lost)."
    assert said in plan(video={"path": "a.mp4", "width": 12000, "height": 80}).notices
    for width, height in ((832, 480), (850, 480)):  # 2% is not worth a word
        notices = plan(video={"path": "a.mp4", "width": width, "height": height}).notices
        assert not any("cut out" in text for text in notices)
