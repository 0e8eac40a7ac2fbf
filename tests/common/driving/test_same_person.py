"""Whoever is followed in one chunk is followed in the next, without a stop between them and with one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import unchecked
from common.annotate.keypoints import Person
from common.driving.kept import CHUNK
from common.driving.maker import Means
from common.driving.opencv import OpenCV
from common.driving.prepare import prepare
from tests.common.driving import photograph as photo
from tests.common.driving.photograph import Place
from tests.common.driving.stand_in import Known, Stopped, Watching, frame, material

AWAY = [CHUNK - 1, 2 * CHUNK - 2, 2 * CHUNK - 1]


def height(person: Person | None) -> float:
    assert person is not None
    return float(person.points[0, 1])


def expected(number: int) -> float:
    return height(Known()._one(frame(number)))


def test_each_chunk_goes_on_with_the_last_sighting_of_the_one_before(tmp_path: Path) -> None:
    maker = Known(away=AWAY)
    prepare(material(tmp_path, 2 * CHUNK + 5, maker=maker))
    assert maker.followed[0] is None
    assert [height(person) for person in maker.followed[1:]] == [expected(CHUNK - 2), expected(2 * CHUNK - 3)]


@pytest.mark.parametrize("remembers", [False, True])
def test_after_a_chunk_without_them_only_who_remembers_goes_on(tmp_path: Path, remembers: bool) -> None:
    maker = Known(away=range(CHUNK, 3 * CHUNK))
    maker.remembers = remembers
    prepare(material(tmp_path, 3 * CHUNK + 5, maker=maker))
    assert height(maker.followed[1]) == expected(CHUNK - 1)
    for after in maker.followed[2:]:
        assert height(after) == expected(CHUNK - 1) if remembers else after is None


def test_after_a_stop_too(tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        prepare(
            material(tmp_path, 2 * CHUNK + 5, maker=Known(away=AWAY), check=Watching(stop_at=2 * CHUNK + 2))
        )
    maker = Known(away=AWAY)
    prepare(material(tmp_path, 2 * CHUNK + 5, maker=maker))
    assert height(maker.followed[0]) == expected(maker.saw[0] - 3)


def test_another_who_comes_nearer_does_not_take_over_in_the_next_chunk() -> None:
    """Both stand still; whoever was smaller is larger from the second chunk on."""
    maker = OpenCV(Means())
    performer: Place = (500.0, 60.0, 330.0)
    first: list[Image.Image] = [photo.scene((60.0, 60.0, 260.0), performer)] * 7
    second: list[Image.Image] = [photo.scene((20.0, 20.0, 420.0), performer)] * 7
    last = maker.see(first, unchecked)[-1]
    for after, place in ((last, performer), (None, (20.0, 20.0, 420.0))):
        person = maker.see(second, unchecked, after)[-1]
        assert person is not None
        assert np.abs(person.points[0] - photo.at(photo.NOSE, place)).max() < 12
