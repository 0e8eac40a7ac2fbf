"""Clips of a sound: how many it takes, and which moment a frame belongs to."""

from __future__ import annotations

import pytest

from common.speech import CLIPS, SAMPLE_RATE, ClipLaw


@pytest.mark.parametrize(
    ("seconds", "frames", "clips"),
    [
        (0.2, 4, 1),
        (4.8125, 77, 1),  # the longest that one clip shows
        (4.9, 79, 2),
        (5.0, 80, 2),  # Wan2.2 makes one clip, 3 frames short
        (5.1, 82, 2),
        (9.8125, 157, 2),
        (9.99, 160, 3),
        (10.0, 160, 3),
        (20.0, 320, 5),
    ],
)
def test_a_video_lasts_as_long_as_its_sound(seconds: float, frames: int, clips: int) -> None:
    samples = round(seconds * SAMPLE_RATE)
    assert CLIPS.lasting(samples) == frames
    assert CLIPS.count(frames) == clips


def test_clips_show_every_frame_and_none_is_made_in_vain() -> None:
    for samples in range(1, 30 * SAMPLE_RATE, 777):
        frames = CLIPS.lasting(samples)
        assert 0 <= frames / CLIPS.fps - samples / SAMPLE_RATE < 1 / CLIPS.fps
        shown = CLIPS.count(frames) * CLIPS.frames - CLIPS.dropped
        assert shown - CLIPS.frames < frames <= shown


def test_a_pose_video_drives_the_frames_it_has() -> None:
    assert CLIPS.driving(0, 500) == [0, 0, 0, *range(77)]
    assert CLIPS.driving(1, 500) == [*range(77, 157)]
    assert CLIPS.driving(1, 100) == [*range(77, 100)]
    assert CLIPS.driving(2, 157) == []
    short = ClipLaw(frames=16)
    driven = [n for clip in range(3) for n in short.driving(clip, 40)]
    assert driven[short.dropped :] == [*range(40)]
