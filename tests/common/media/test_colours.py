"""Colours that drift: measured where frames are known, taken back, and left alone where nothing is to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from common.media.colours import MOST, Drift


def scene(frames: int, at: int = 0) -> np.ndarray:
    """A ramp of soft colours with a bright square that moves: [frames, 48, 64, 3]."""
    ramp = np.stack([np.tile(np.linspace(40, 90 + 30 * c, 64), (48, 1)) for c in range(3)], -1)
    clip = np.repeat(ramp[None], frames, 0)
    for n in range(frames):
        clip[n, 10:20, at + 2 * n : at + 2 * n + 10] = 230
    return clip.round().astype(np.uint8)


def tinted(frames: np.ndarray, *by: float) -> np.ndarray:
    return (frames + np.array(by)).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("overlap", [1, 5])
def test_a_tint_is_measured_to_the_level_and_taken_back(overlap: int) -> None:
    true = scene(12)
    made = tinted(true, 5, -3, 0)
    drift = Drift.between(true[:overlap], made)
    assert drift.exact == pytest.approx((5, -3, 0)) and drift.seen
    assert drift.offset == pytest.approx((5, -3, 0), abs=0.3)
    back = drift.taken_back(made[-1])
    assert np.abs(back.astype(int) - true[-1]).max() <= 1
    assert drift.words == "red +5.0, green -3.0, blue +0.0 of 255; corrected by red -5.0, green +3.0"


def test_what_is_equal_or_goes_away_by_itself_is_left_alone() -> None:
    true = scene(12)
    for made in (true, np.concatenate([tinted(true[:1], 6, 6, 6), true[1:]])):
        drift = Drift.between(true[:1], made)
        assert not drift.seen and np.array_equal(drift.taken_back(made[3]), made[3])
        assert drift.words.endswith("nothing to correct")


def test_what_moves_or_is_another_picture_moves_the_colours_by_a_little_at_most() -> None:
    true = scene(12)
    assert not Drift.between(true[:1], scene(12, at=1)).seen  # the square alone is elsewhere
    black, white = np.zeros((2, 8, 8, 3), np.uint8), np.full((9, 8, 8, 3), 255, np.uint8)
    back = Drift.between(black, white).taken_back(white[0])
    assert back.min() == 255 - MOST
    one = Drift.between(true[:1], true[:1])  # nothing new after the known frame
    assert not one.seen


def test_a_chain_drifts_without_and_not_with_the_correction() -> None:
    """A made-up model that makes everything 3 levels redder and 2 less blue than what it is shown."""
    far: dict[bool, list[float]] = {True: [], False: []}
    for correct, drifted in far.items():
        given = scene(9)
        for _ in range(4):
            made = tinted(np.repeat(given[-1:], 9, 0), 3, 0, -2)
            drift = Drift.between(given[-1:], made)
            new = [drift.taken_back(f) if correct else f for f in made[1:]]
            given = np.stack([*given, *new])
            drifted.append(float(np.abs(given[-1].astype(float) - given[8]).mean(axis=(0, 1)).max()))
    assert far[False] == pytest.approx([3, 6, 9, 12], abs=0.5)
    assert max(far[True]) <= 0.5
