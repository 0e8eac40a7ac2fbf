"""OpenCV's detectors on a real photograph of a person, moved over a wall."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import Frames, unchecked
from common.driving import detectors, proportions
from common.driving.carried import confirmed
from common.driving.following import SEVERAL
from common.driving.makers import Means
from common.driving.opencv import OpenCV
from common.driving.proportions import Head
from common.errors import Cancelled, MissingDependency
from tests.common.driving import photograph as photo
from tests.common.driving.photograph import Place

LEFT: Place = (20.0, 40.0, 400.0)
RIGHT: Place = (500.0, 60.0, 300.0)
ARMS_AND_LEGS = [7, 8, 9, 10, 13, 14, 15, 16, *range(17, 23), *range(91, 133)]


def going(t: float) -> Place:
    """To the right and nearer, 60 pixels and half as large again in the time of a clip."""
    side = 400 * (1 + 0.5 * t)
    return 150 + 60 * t - (side - 400) / 2, 0.0, side


@pytest.fixture(scope="module")
def walk() -> Frames:
    return photo.clip(20, going)


@pytest.fixture
def maker() -> OpenCV:
    return OpenCV(Means())


def wall(count: int = 1) -> Frames:
    return [Image.new("RGB", photo.SIZE, photo.GREY) for _ in range(count)]


def off(point: Any, expected: tuple[float, float]) -> float:
    return float(np.abs(np.asarray(point) - expected).max())


def test_the_face_is_followed_through_every_frame(maker: OpenCV, walk: Frames) -> None:
    for i, person in enumerate(maker.see(walk, unchecked)):
        place = going(i / (len(walk) - 1))
        near = place[2] / 512 * 12  # pixels of the photograph
        assert person is not None
        for row, point in ((0, photo.NOSE), (1, photo.LEFT_EYE), (2, photo.RIGHT_EYE)):
            assert off(person.points[row], photo.at(point, place)) < near, (i, row)
        landmarks = person.points[23:91]
        assert abs(landmarks[:, 1].max() - photo.at(photo.CHIN, place)[1]) < near


def test_what_it_does_not_know_is_not_drawn_and_said(maker: OpenCV, walk: Frames) -> None:
    (person,) = maker.see(walk[:1], unchecked)
    assert person is not None
    assert not person.scores[ARMS_AND_LEGS].any() and (person.scores[[0, 1, 2, 5, 6]] > 0.5).all()
    assert any("arms, legs and hands" in text and "vitpose" in text for text in maker.notices)
    left, right = person.points[5], person.points[6]  # the person's left is on the right of the picture
    assert right[0] < person.points[0][0] < left[0]
    assert left[1] == right[1] > person.points[23:91, 1].max()
    drawn = np.asarray(maker.pose(person, photo.SIZE, photo.SIZE))
    assert drawn.any() and not drawn[int(left[1]) + 20 :].any()


def test_the_face_is_cut_out(maker: OpenCV, walk: Frames) -> None:
    (person,) = maker.see(walk[:1], unchecked)
    assert person is not None
    face = maker.face(walk[0], person)
    assert face is not None and face.size == (512, 512)
    # Skin, a little red, and none of the wall, in its middle.
    r, g, b = np.asarray(face)[200:300, 200:300].reshape(-1, 3).mean(0)
    assert r > g > b and r > 150


def test_the_outline_holds_head_and_trunk_and_not_the_wall(maker: OpenCV, walk: Frames) -> None:
    some = walk[::10]
    for frame, mask, i in zip(
        some, maker.shapes(some, maker.see(some, unchecked), unchecked), (0, 10), strict=True
    ):
        white = np.asarray(mask)[..., 0] > 0
        assert set(np.unique(np.asarray(mask))) == {0, 255} and mask.size == frame.size
        place = going(i / (len(walk) - 1))
        for inside in (
            photo.NOSE,
            photo.CHIN,
            (224, 60),
            (230, 330),
            (150, 330),
        ):  # hair, and the orange suit
            x, y = photo.at(inside, place)
            assert white[int(y), int(x)], inside
        for outside in ((350, 60), (450, 100), (40, 60)):  # the studio, the shuttle, the flag
            x, y = photo.at(outside, place)
            assert not white[int(y), int(x)], outside
        assert 0.1 < white.mean() < 0.5


def test_two_people_the_larger_is_followed_and_a_notice_says_so(maker: OpenCV) -> None:
    frames = [photo.scene((LEFT[0] + 2 * i, LEFT[1], LEFT[2]), RIGHT) for i in range(13)]
    for i, person in enumerate(maker.see(frames, unchecked)):
        assert person is not None
        assert off(person.points[0], photo.at(photo.NOSE, (LEFT[0] + 2 * i, LEFT[1], LEFT[2]))) < 12
    assert SEVERAL in maker.notices


def test_it_goes_on_with_the_one_seen_before(maker: OpenCV) -> None:
    frames = [photo.scene(LEFT, RIGHT) for _ in range(3)]
    small = proportions.body(Head(*photo.at((225, 116), RIGHT), 99 * RIGHT[2] / 512))
    last = maker.see(frames, unchecked, small)[-1]
    assert last is not None and off(last.points[0], photo.at(photo.NOSE, RIGHT)) < 12


def test_one_person_makes_no_notice_of_several(maker: OpenCV, walk: Frames) -> None:
    maker.see(walk, unchecked)
    assert SEVERAL not in maker.notices and len(maker.notices) == 1


def test_nobody_is_none_and_has_no_outline(maker: OpenCV) -> None:
    bodies = maker.see(wall(8), unchecked)
    assert bodies == [None] * 8
    assert not any(np.asarray(mask).any() for mask in maker.shapes(wall(8), bodies, unchecked))


def test_a_face_that_is_lost_is_none_until_it_is_back(maker: OpenCV) -> None:
    there = [photo.scene(LEFT)] * 14
    bodies = maker.see([*there, *wall(40), *there], unchecked)
    assert all(person is not None for person in bodies[:13] + bodies[-13:])
    assert bodies[30:38] == [None] * 8


def test_a_face_that_is_hidden_for_a_moment_is_bridged(maker: OpenCV) -> None:
    there = [photo.scene(LEFT)] * 13
    hidden = photo.scene(LEFT)
    x, y = photo.at(photo.NOSE, LEFT)
    hidden.paste((30, 90, 30), (int(x) - 70, int(y) - 80, int(x) + 70, int(y) + 80))
    bodies = maker.see([*there, *[hidden] * 5, *there], unchecked)
    assert all(person is not None and off(person.points[0], (x, y)) < 14 for person in bodies)


def test_a_stop_is_seen_before_every_frame(maker: OpenCV) -> None:
    asked: list[tuple[int, int]] = []

    def check(done: int = 0, total: int = 0) -> None:
        asked.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        maker.see(wall(4), check)
    assert asked == [(0, 4), (1, 4), (2, 4)]


def test_an_opencv_without_classical_detectors_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    detectors._cascades.cache_clear()
    monkeypatch.delattr(cv2, "CascadeClassifier", raising=False)
    with pytest.raises(MissingDependency, match=r"OpenCV 4.*pip install 'opencv-python-headless<5'.*vitpose"):
        OpenCV(Means())
    detectors._cascades.cache_clear()


# ---------------------------------------------------------------------- by hand


def test_a_body_keeps_the_head_that_it_was_made_of() -> None:
    head = Head(100.0, 80.0, 40.0)
    person = proportions.body(head)
    # Eyes 0.22 to either side and 0.13 up, nose 0.13 down, shoulders 1 to either side.
    assert person.points[[0, 1, 2, 5, 6], 0].tolist() == pytest.approx([100, 108.8, 91.2, 140, 60])
    assert person.points[[0, 1, 2], 1].tolist() == pytest.approx([85.2, 74.8, 74.8])
    assert person.points[5, 1] == pytest.approx(80 + (-0.75 + 1.4 * 1.35) * 40)
    assert proportions.head_of(person) == pytest.approx(head)
    behind = proportions.body(Head(100, 80, 40, face=False), upright=True)
    assert set(np.flatnonzero(behind.scores)) == {5, 6, 11, 12}


def test_what_is_seen_once_is_no_face() -> None:
    face, flicker = Head(100, 100, 50), Head(400, 100, 80)
    found = {0: [face], 6: [face, flicker], 12: [], 18: [Head(110, 100, 52)]}
    assert confirmed(found) == {0: [face], 6: [face], 12: [], 18: [Head(110, 100, 52)]}
