"""Animate: its lengths and segments by hand, and each thing that a model cannot do as one clear line."""

from typing import Any

import pytest

from common.catalog import CHECKPOINTS
from common.contract import Backend
from common.errors import InputError
from common.modes.animate import MODE, OWN, SCENE

PICTURE = {"path": "a.png"}
UNOPENED = {"path": "a.mp4"}
V2, DISTILLED = "wan2.2-animate-2-14b", "wan2.2-animate-2-14b-distilled"


def clip(frames: int, fps: float = 30) -> dict[str, Any]:
    return {"path": "a.mp4", "mime": "video/mp4", "frames": frames, "fps": fps, "seconds": frames / fps}


def plan(weights: str = "wan", **values):
    values = {"image": PICTURE, "video": UNOPENED, **values}
    given = {name: value for name, value in values.items() if value is not None}
    return MODE.plan(MODE.parse(given), Backend(), weights=weights)


def lengths(**values) -> list[int]:
    return [segment.frames for segment in plan(**values).segments]


def test_defaults_are_those_of_the_facts() -> None:
    p = plan()
    assert (p.checkpoint, p.preset, p.num_inference_steps, p.guidance_scale, p.flow_shift) == (
        "wan2.2-animate-14b", "quality", 20, 1.0, 5.0,
    )  # fmt: skip
    assert (p.width, p.height, p.fps, p.num_frames, p.gpu_size) == (832, 480, 30, 77, None)
    assert p.values == {
        "animate_mode": "animate", "retarget": False, "prev_segment_conditioning_frames": 1, "preprocessor": "auto",
    }  # fmt: skip
    assert p.loras == []


def test_an_empty_prompt_stands_for_upstreams_own() -> None:
    request = MODE.parse({"image": PICTURE, "video": UNOPENED})
    assert MODE.said(request) == "视频中的人在做动作"
    assert MODE.said(request.model_copy(update={"prompt": " a dance "})) == "a dance"


@pytest.mark.parametrize(
    ("frames", "carried", "segments"),
    [
        # Of 77 frames each, of which those after the first begin with the last ones of the one before: 76 new, or 72.
        (231, 1, 4),  # 77 + 76 + 76 = 229: two are left
        (229, 1, 3),
        (77, 1, 1),
        (78, 1, 2),
        (153, 1, 2),
        (154, 1, 3),
        (2, 1, 1),
        (600, 1, 8),  # 77 + 7 * 76 = 609
        (231, 5, 4),  # 77 + 72 + 72 = 221
        (221, 5, 3),
        (149, 5, 2),
        (150, 5, 3),
        (6, 5, 1),
    ],
)
def test_segments_are_as_many_as_the_frames_need(frames: int, carried: int, segments: int) -> None:
    found = lengths(video=clip(frames), prev_segment_conditioning_frames=carried)
    assert found == [77] * segments


def test_animate_2_has_segments_of_its_own_at_its_own_rate() -> None:
    # 10 s at 30 fps are 240 frames at 24: 81 + 80 = 161, + 80 = 241.
    p = plan(checkpoint=V2, video=clip(300))
    assert (p.fps, p.num_frames, [s.frames for s in p.segments]) == (24, 240, [81, 81, 81])
    assert (p.num_inference_steps, p.guidance_scale) == (40, 3.0)
    fast = plan(checkpoint=DISTILLED)
    assert (fast.preset, fast.num_inference_steps, fast.guidance_scale) == ("fast", 10, 1.0)


def test_twenty_seconds_are_the_longest() -> None:
    p = plan(video=clip(900))
    assert (p.num_frames, p.clip_seconds) == (600, 20)
    assert "video has 900 frames at 30 fps; the first 600 are used." in p.notices
    with pytest.raises(InputError, match="num_frames must be between 1 and 600; got 601"):
        plan(num_frames=601)


def test_nano_has_short_segments_and_no_animate_2() -> None:
    p = plan(weights="nano", video=clip(40))
    assert [s.frames for s in p.segments] == [17, 17, 17]  # 17 + 16 + 16 = 49
    assert [row.key for row in MODE.offered("nano")] == ["wan2.2-animate-14b"]
    for key in (V2, DISTILLED):
        with pytest.raises(InputError, match="checkpoint must be one that animate runs here"):
            plan(weights="nano", checkpoint=key)
        assert plan(checkpoint=key)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"image": None}, "image is required; give character"),
        ({"video": None}, "video is required; give a driving video"),
        ({"video": clip(1)}, "video must have at least 2 frames, more than the 1 that a segment takes over; got 1 at "
                             "30 fps, give a longer clip"),
        ({"video": clip(1), "num_frames": 77}, "video must have at least 2 frames"),
        ({"video": None, "pose_video": clip(1), "face_video": UNOPENED}, "pose_video must have at least 2 frames"),
        ({"video": clip(5), "prev_segment_conditioning_frames": 5},
         "video must have at least 6 frames, more than the 5 that a segment takes over; got 5 at 30 fps, give a "
         "longer clip, or prev_segment_conditioning_frames 1"),
        ({"num_frames": 1}, "num_frames must be at least 2, more than the 1 that a segment takes over; got 1, try 2 "
                            "or more"),
        ({"video": clip(60), "num_frames": 4, "prev_segment_conditioning_frames": 5},
         "num_frames must be at least 6, more than the 5 that a segment takes over; got 4, try 6 to 60, or "
         "prev_segment_conditioning_frames 1"),
        ({"video": clip(60), "pose_video": clip(40)},
         "pose_video must have as many frames as the result: 60 at 30 fps; got 40, try num_frames 40 or a longer "
         "clip, or leave it out and it is made"),
        ({"video": None, "pose_video": clip(60), "face_video": clip(1)},
         "face_video must have as many frames as the result: 60 at 30 fps; got 1, try a longer clip"),
        ({"prev_segment_conditioning_frames": 3}, "prev_segment_conditioning_frames must be 1 or 5 for Wan 2.2"),
        ({"video": clip(60), "num_frames": 90}, "num_frames must not exceed what video has: 60 frames at 30 fps"),
        ({"animate_mode": "swap"}, "animate_mode is not valid"),
        ({"preprocessor": "dwpose"}, "preprocessor is not valid"),
        ({"checkpoint": V2, "animate_mode": "replace"}, "animate_mode replace is nothing that Wan 2.2 Animate-2"),
        ({"checkpoint": V2, "animate_mode": "replace"}, "try animate, or wan2.2-animate-14b"),
        ({"checkpoint": V2, "prev_segment_conditioning_frames": 5}, "must be 1 for Wan 2.2 Animate-2-14B; got 5"),
        ({"checkpoint": V2, "pose_video": UNOPENED}, "pose_video is nothing that Wan 2.2 Animate-2-14B takes"),
        ({"checkpoint": V2, "pose_video": UNOPENED}, "leave it out, or try wan2.2-animate-14b"),
        ({"video": None, "pose_video": UNOPENED}, "give a driving video, or face_video as well"),
        ({"video": None, "pose_video": UNOPENED, "face_video": UNOPENED, "animate_mode": "replace"},
         "or background_video and mask_video as well"),
        ({"width": 830, "height": 480}, "width must be a multiple of 16"),
    ],
)  # fmt: skip
def test_bad_input_names_input_rule_and_way_out(values: dict, text: str) -> None:
    with pytest.raises(InputError) as error:
        plan(**values)
    assert text in str(error.value)


def test_own_videos_stand_in_for_the_driving_video() -> None:
    own = {"video": None, "pose_video": clip(90), "face_video": UNOPENED}
    assert plan(**own).num_frames == 90
    scene = {"background_video": UNOPENED, "mask_video": UNOPENED}
    assert plan(**own, **scene, animate_mode="replace").values["animate_mode"] == "replace"
    unread = [text for text in plan(**own, **scene).notices if "does not use" in text]
    assert unread == ["Animating does not use background_video, mask_video."]


def test_relighting_is_a_lora_of_replacing_alone() -> None:
    replaced = plan(animate_mode="replace", relight=True)
    assert replaced.loras == [("relight-2.2-animate", 1.0)]
    no_effect = "has no effect here"
    assert not any(no_effect in text for text in replaced.notices)
    for values in ({}, {"animate_mode": "replace", "weights": "nano"}):
        p = plan(**values, relight=True)
        assert p.loras == [] and any("elighting" in t and no_effect in t for t in p.notices)


def test_retargeting_is_for_a_pose_that_is_animated() -> None:
    said = "Retargeting fits a pose to a character that is animated; it has no effect here."
    assert said not in plan(retarget=True).notices
    assert said in plan(retarget=True, animate_mode="replace").notices
    assert said in plan(retarget=True, checkpoint=V2).notices


def test_no_length_is_called_too_long_for_a_model_that_makes_segments() -> None:
    assert not any("motion may drift" in text for text in plan(video=clip(300)).notices)


def test_what_is_resampled_is_said() -> None:
    assert "video is resampled from 24 to 30 fps." in plan(video=clip(48, 24)).notices


@pytest.mark.parametrize("name", OWN)
def test_of_ones_own_videos_it_is_said_too_where_they_are_read(name: str) -> None:
    mode = "replace" if name in SCENE else "animate"
    told = plan(video=clip(60), animate_mode=mode, **{name: clip(60, 24)}).notices
    assert f"{name} is resampled from 24 to 30 fps." in told
    assert f"{name} has 75 frames at 30 fps; the first 60 are used." in told
    assert not any(
        name in text for text in plan(video=clip(60), animate_mode=mode, **{name: clip(60)}).notices
    )


def test_what_is_not_read_is_not_measured_against_the_result() -> None:
    told = plan(video=clip(60), background_video=clip(20, 24)).notices
    assert [text for text in told if "background_video" in text] == [
        "Animating does not use background_video."
    ]


def test_the_browser_s_seconds_are_no_count_of_frames() -> None:
    pose = {"path": "b.mp4", "seconds": 1.98}
    assert plan(video={"path": "a.mp4", "seconds": 2.0}, pose_video=pose).num_frames == 60


def test_each_segment_is_reserved_and_billed_by_itself() -> None:
    zero = Backend(device="cuda", name="ZeroGPU", memory_bytes=96 * 2**30, gpu_size="xlarge")
    request = MODE.parse({"image": PICTURE, "video": clip(229)})
    three = MODE.plan(request, zero, weights="wan")
    one = MODE.plan(request.model_copy(update={"num_frames": 77}), zero, weights="wan")
    assert three.gpu_duration == one.gpu_duration and three.gpu_seconds == 3 * one.gpu_seconds
    assert three.expected_seconds == pytest.approx(3 * one.expected_seconds, rel=0.01)


def test_all_of_its_rows_are_of_2_2() -> None:
    assert MODE.generations() == ["2.2"]
    assert {CHECKPOINTS[key].gpu_size for key in MODE.checkpoints} == {"xlarge"}


def test_what_is_cut_is_what_the_model_has_cut() -> None:
    tall, wide = {"width": 400, "height": 900}, {"width": 1920, "height": 1080}
    given = {"image": PICTURE | tall, "video": clip(77) | wide, "width": 640, "height": 800}

    def cut(**values) -> list[str]:
        return [text.split()[0] for text in plan(**given, **values).notices if "is lost" in text]

    assert cut(checkpoint=V2) == ["image"], "it sees the whole video, with black beside it"
    assert cut() == ["video"], "the character is fitted whole"
