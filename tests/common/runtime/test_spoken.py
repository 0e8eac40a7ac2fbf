"""What is made of a sound is made once, found from then on, and made anew where it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.media.shelf import Shelf
from common.media.sound import Sound
from common.media.watch import Watch
from common.runtime.spoken import Spoken, listen
from common.speech import NANO_CLIPS
from tests.common.media import sound_files
from tests.common.runtime.pipelines.s2v import tiny_parts


class Ears:
    """Loads an encoder, and counts how often."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self) -> tuple[Any, Any]:
        self.asked += 1
        return tiny_parts.ears()


@pytest.fixture
def heard(tmp_path: Path):
    values = sound_files.values(16_000, 2, 3.0)
    path = sound_files.write(tmp_path / "a.wav", "pcm_s16le", 16_000, "s16", samples=values)
    sound = Sound(path, "audio", "a.wav", Watch(lambda *_: None))

    def go(ears: Ears, hold: Any = lambda _: None) -> Spoken:
        return listen(sound, 48, NANO_CLIPS, ears, Shelf(tmp_path / "kept", hold))

    return go


def test_each_clip_has_what_it_hears_and_the_sound_is_as_long_as_the_video(heard) -> None:
    spoken = heard(Ears())
    assert len(spoken.clips) == 4
    assert spoken.hears(0).shape == spoken.hears(1).shape and spoken.hears(0).shape[-1] == NANO_CLIPS.frames
    assert spoken.heard().values.shape == (2, 48 * 3000)


def test_it_is_made_once_and_held(heard) -> None:
    ears, held = Ears(), set[Path]()
    first = heard(ears)
    again = heard(ears, held.add)
    assert ears.asked == 1 and again == first and held == {*first.clips, first.sound}


@pytest.mark.parametrize("harm", [lambda p: p.write_bytes(p.read_bytes()[:100]), Path.unlink])
def test_what_is_damaged_is_made_anew(heard, harm) -> None:
    ears = Ears()
    before = heard(ears).hears(1)
    harm(heard(ears).clips[1])
    np.testing.assert_array_equal(heard(ears).hears(1), before)
    assert ears.asked == 2
