"""S2V's plans: as long as the sound, in clips that cover it; and what is wrong with a sound is said at once."""

from __future__ import annotations

from typing import Any

import pytest

from common.contract import Backend, Plan
from common.errors import InputError
from common.modes.all import MODES

S2V = MODES["s2v"]
SPEAKER = {"path": "/a.png", "width": 832, "height": 448}


def sound(seconds: float | None = None, **values: Any) -> dict[str, Any]:
    return {"path": "/a.wav", "mime": "audio/wav", "seconds": seconds, "has_audio": True, **values}


def plan(weights: str = "wan", **values: Any) -> Plan:
    request = S2V.parse({"prompt": "a singer", "image": SPEAKER, "audio": sound(5.0), **values})
    return S2V.plan(request, Backend(), weights=weights)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seconds", "frames", "clips"),
    # Upstream makes one clip of 5.0 s and two of 10.0 s: 77 and 157 frames.
    [
        (0.2, 4, 1), (4.8, 77, 1), (4.9, 79, 2), (5.0, 80, 2), (5.1, 82, 2), (9.99, 160, 3), (10.0, 160, 3),
        (60, 960, 13),
    ],
)  # fmt: skip
def test_it_is_as_long_as_the_sound_in_clips_that_cover_it(seconds: float, frames: int, clips: int) -> None:
    p = plan(audio=sound(seconds))
    assert (p.num_frames, p.fps) == (frames, 16)
    assert [s.frames for s in p.segments] == [80] * clips
    assert clips * 80 - 3 >= frames > (clips - 1) * 80 - 3
    assert 0 <= p.clip_seconds - seconds < 1 / 16


def test_its_defaults_are_upstream_s_but_for_the_steps() -> None:
    p = plan()
    assert (p.checkpoint, p.preset, p.num_inference_steps, p.loras) == ("wan2.2-s2v-14b", "quality", 30, [])
    assert (p.guidance_scale, p.flow_shift, p.width, p.height) == (4.5, 3.0, 832, 448)
    assert p.negative_prompt.startswith("画面模糊，最差质量")
    assert "Lightning unavailable" in plan(preset="fast").notices[0]


def test_the_reservation_and_the_day_count_clips() -> None:
    one, three = plan(audio=sound(4.8)), plan(audio=sound(10.0))
    assert one.gpu_duration == three.gpu_duration, "a clip is a call of its own"
    assert three.gpu_seconds == 3 * one.gpu_seconds
    assert three.expected_seconds == pytest.approx(3 * one.expected_seconds)


def test_wan_nano_s_clips_are_shorter() -> None:
    p = plan("nano", audio=sound(2.0))
    assert (p.num_frames, [s.frames for s in p.segments]) == (32, [16] * 3)
    assert [s.frames for s in plan("nano", audio=sound(12.0)).segments] == [16] * 13


def test_before_anybody_has_listened_the_plan_is_one_clip() -> None:
    assert (plan(audio=sound()).num_frames, len(plan(audio=sound()).segments)) == (77, 1)


@pytest.mark.parametrize(
    ("values", "frames", "said"),
    [
        ({"num_clip": 1}, 77, "audio lasts 12.0 s; the first 4.8 s are used"),
        ({"num_clip": 2}, 157, "the first 9.8 s are used"),
        ({"num_clip": 9}, 192, ""),
        ({"num_frames": 40}, 40, "the first 2.5 s are used"),
        ({"num_frames": 40, "num_clip": 2}, 40, "the first 2.5 s are used"),
    ],
)
def test_less_of_it_may_be_asked_for(values: dict[str, int], frames: int, said: str) -> None:
    p = plan(audio=sound(12.0), **values)
    assert p.num_frames == frames
    assert any(said in text for text in p.notices) if said else not any("audio" in t for t in p.notices)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"audio": None}, "audio is required; give driving audio"),
        ({"image": None}, "image is required"),
        ({"audio": sound(600.0)}, r"audio must last at most 60 s; got 600.0 s, cut it shorter, or give num_clip"),
        ({"audio": {"path": "/a.png"}}, "audio must be a sound, and is a picture; got image/png"),
        ({"audio": sound(has_audio=False)}, "audio has no sound; give a sound, or a clip with one"),
        ({"num_frames": 81}, "num_frames must not exceed what audio has: 80 frames at 16 fps; got 81, try 80"),
        ({"num_clip": 0}, "num_clip must be between 1 and 13; got 0"),
        ({"num_clip": 14}, "num_clip must be between 1 and 13; got 14"),
        ({"width": 832, "height": 480}, "height must be a multiple of 64 for Wan 2.2 S2V-14B; got 480, try 448"),
        ({"pose_video": {"path": "/a.png"}}, "pose_video must be a clip, and is a picture"),
        ({"prompt": " "}, "prompt must not be empty"),
    ],
)
def test_what_does_not_go_is_said_with_the_way_out(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        plan(**values)


def test_ten_minutes_may_give_their_beginning() -> None:
    assert plan(audio=sound(600.0), num_clip=3).num_frames == 237


def test_poses_that_end_early_or_come_at_another_rate_are_told_of() -> None:
    notices = plan(pose_video={"path": "/p.mp4", "frames": 60, "fps": 30, "seconds": 2.0}).notices
    assert "pose_video is resampled from 30 to 16 fps." in notices
    assert "pose_video ends 3.0 s before the video does: there it is black." in notices


def test_a_picture_of_another_shape_is_told_of() -> None:
    assert any("its centre is cut out" in t for t in plan(image={**SPEAKER, "width": 400, "height": 900}).notices)
