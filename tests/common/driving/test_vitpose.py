"""YOLOv10 and ViTPose through onnxruntime itself, on small ONNX files whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from common import hub
from common.annotate import models
from common.annotate.frames import unchecked
from common.catalog import ANNOTATORS
from common.driving import vitpose
from common.driving.following import SEVERAL
from common.driving.makers import Means
from common.driving.vitpose import VitPose, decoded, key_clicks, people
from common.errors import Cancelled, WeightsError
from tests.common.annotate import tiny_models
from tests.common.driving import tiny_vitpose
from tests.common.driving.bodies import STANDING, body

SIZE = (1280, 960)  # of the detector's squares: twice as wide, one and a half times as high
DOTS = {"yellow": 0, "magenta": 5, "white": 6}


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("annotators")
    torch.manual_seed(0)
    tiny_vitpose.save(root / "vitpose")
    tiny_models.save_sam2(root / "sam2")
    return root


@pytest.fixture
def maker(annotators: Path, monkeypatch: pytest.MonkeyPatch) -> VitPose:
    monkeypatch.setenv(models.FOLDER, str(annotators))
    return VitPose(Means())


def dot(image: Image.Image, at: tuple[int, int], colour: str, reach: int = 12) -> None:
    box = (at[0] - reach, at[1] - reach, at[0] + reach + 1, at[1] + reach + 1)
    image.paste(ImageColor.getrgb(colour), box)


def small_one(image: Image.Image, column: int, row: int, nose: tuple[int, int]) -> None:
    """A red square of the detector's grid of 4 x 4, with a nose in it."""
    image.paste((255, 0, 0), (320 * column, 240 * row, 320 * column + 320, 240 * row + 240))
    dot(image, nose, "yellow", 8)


def large_one(image: Image.Image, column: int, row: int, nose: tuple[int, int]) -> None:
    image.paste((0, 255, 0), (640 * column, 480 * row, 640 * column + 640, 480 * row + 480))
    dot(image, nose, "yellow", 14)


def test_rows_are_boxes_of_people_in_the_pictures_own_pixels() -> None:
    rows = np.array([
        [64, 128, 128, 320, 0.9, 0], [66, 128, 128, 318, 0.5, 0],  # twice the same
        [320, 0, 640, 640, 0.04, 0], [320, 0, 640, 640, 0.9, 56],  # too uncertain, and a chair
        [400, 320, 480, 640, 0.05, 0],
    ], np.float32)  # fmt: skip
    # 1280x480 is seen stretched into 640x640: twice as wide, three quarters as high.
    boxes, scores = people(rows, (1280, 480))
    assert sorted(boxes.tolist()) == [[128, 96, 256, 240], [800, 240, 960, 480]]
    assert np.allclose(np.sort(scores), [0.05, 0.9])


def test_dark_finds_the_top_of_a_peak_between_pixels() -> None:
    y, x = np.mgrid[:64, :48]
    tops = [(20.3, 30.6), (7.0, 50.5), (40.25, 12.75)]
    maps = np.stack([0.8 * np.exp(-((x - a) ** 2 + (y - b) ** 2) / (2 * 2.0**2)) for a, b in tops])[None]
    points, scores = decoded(maps.astype(np.float32))
    assert np.abs(points[0] - tops).max() < 0.02
    assert np.abs(scores[0] - maps[0].reshape(3, -1).max(1)).max() < 1e-6  # as the model gave them


def test_a_peak_at_the_edge_and_an_empty_map_stay_where_they_are() -> None:
    maps = np.zeros((1, 2, 64, 48), np.float32)
    maps[0, 0, 30, 1] = 0.7
    points, scores = decoded(maps)
    assert points[0, 0].tolist() == [1, 30] and scores[0].tolist() == [pytest.approx(0.7), 0]


def test_the_largest_person_is_seen_with_their_points(maker: VitPose) -> None:
    image = Image.new("RGB", SIZE)
    small_one(image, 0, 0, (150, 100))
    large_one(image, 1, 1, (960, 700))
    dot(image, (800, 800), "magenta", 14)
    (person,) = maker.see([image], unchecked)
    assert person is not None
    assert set(np.flatnonzero(person.scores > 0.3)) == {0, 5}
    # One pixel of the heatmap is 17 of the picture's: 640 * 1.25 / 48.
    assert np.abs(person.points[0] - (960, 700)).max() < 5
    assert np.abs(person.points[5] - (800, 800)).max() < 5
    assert maker.notices == [SEVERAL]


def test_a_chair_is_nobody_and_then_the_whole_frame_is_searched(maker: VitPose) -> None:
    image = Image.new("RGB", SIZE)
    image.paste((0, 0, 255), (320, 240, 640, 480))
    dot(image, (900, 500), "yellow", 20)
    (person,) = maker.see([image], unchecked)
    assert person is not None and np.abs(person.points[0] - (900, 500)).max() < 8


def test_nobody_is_none(maker: VitPose) -> None:
    assert maker.see([Image.new("RGB", SIZE)] * 2, unchecked) == [None, None]
    assert maker.notices == []


@pytest.mark.parametrize("batch", [1, "batch"])
def test_the_same_person_is_kept_when_another_comes_nearer(
    batch: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_vitpose.save(tmp_path / "vitpose", batch)
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    frames = []
    for i in range(11):  # more than one batch
        image = Image.new("RGB", SIZE)
        small_one(image, 0, 3, (100 + 10 * i, 850))
        if i:
            large_one(image, 1, 0, (900, 200))
        frames.append(image)
    maker = VitPose(Means())
    bodies = maker.see(frames, unchecked)
    assert len(bodies) == 11
    for i, person in enumerate(bodies):
        assert person is not None and np.abs(person.points[0] - (100 + 10 * i, 850)).max() < 4
    assert maker.notices == [SEVERAL]
    # Asked from the middle on, it goes on with the same one; left to itself it takes the largest.
    (going_on,), (anew,) = maker.see(frames[5:6], unchecked, bodies[4]), maker.see(frames[5:6], unchecked)
    assert going_on is not None and anew is not None
    assert going_on.points[0][0] < 320 and anew.points[0][0] > 640


def test_a_stop_is_seen_before_every_frame(maker: VitPose) -> None:
    asked: list[tuple[int, int]] = []

    def check(done: int = 0, total: int = 0) -> None:
        asked.append((done, total))
        if done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        maker.see([Image.new("RGB", SIZE)] * 4, check)
    assert asked == [(0, 4), (1, 4), (2, 4)]


# ---------------------------------------------------------------------- masks


def test_four_key_frames_show_sam_the_joints_that_are_seen() -> None:
    standing = body(STANDING)
    clicks = key_clicks([standing] * 40, (200, 300))
    assert list(clicks) == [0, 10, 20, 30]
    # Nose, neck, right and left shoulder, right and left hip, right and left ankle.
    assert clicks[0] == [
        [100, 40],
        [100, 60],
        [80, 60],
        [120, 60],
        [90, 120],
        [110, 120],
        [90, 200],
        [110, 200],
    ]
    # In a frame of half that height the ankles lie outside.
    assert clicks[0][:6] == key_clicks([standing] * 40, (200, 150))[0]


def test_a_key_frame_without_anybody_gives_way_to_the_next() -> None:
    standing = body(STANDING)
    assert list(key_clicks([None, None, *[standing] * 6], (200, 300))) == [2, 4, 6]
    assert list(key_clicks([None, standing, standing], (200, 300))) == [1]
    assert key_clicks([None] * 9, (200, 300)) == {}


def test_masks_are_hard_and_black_where_nobody_was_seen(maker: VitPose) -> None:
    frames = [Image.new("RGB", (200, 300), (40, 40, 40)) for _ in range(6)]
    for frame in frames:
        frame.paste((220, 180, 160), (70, 20, 130, 210))
    standing = body(STANDING)
    made = maker.shapes(frames, [None, standing, standing, standing, None, standing], unchecked)
    assert len(made) == 6 and {m.size for m in made} == {(200, 300)}
    assert {int(v) for m in made for v in np.unique(np.asarray(m))} <= {0, 255}
    assert not np.asarray(made[0]).any() and not np.asarray(made[4]).any()


def test_without_anybody_no_model_is_asked_for(maker: VitPose, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitpose, "track_points", None)
    (made,) = maker.shapes([Image.new("RGB", (64, 48))], [None], unchecked)
    assert not np.asarray(made).any()


# ---------------------------------------------------------------------- weights


def test_what_is_missing_is_said_with_animates_own_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv(models.FOLDER, raising=False)
    monkeypatch.setattr(hub, "cached", lambda *_: None)
    with pytest.raises(
        WeightsError, match=r"2640 MB.*--weights wan.*give pose_video and face_video"
    ) as error:
        VitPose(Means())
    assert "plain" not in error.value.text


def test_a_folder_of_which_the_download_broke_off_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = ANNOTATORS["vitpose"]
    tiny_vitpose.save(tmp_path)
    fetched: list[Any] = []

    def fetch(repo: str, patterns: Any) -> Path:
        fetched.append((repo, patterns))
        return tmp_path

    monkeypatch.delenv(models.FOLDER, raising=False)
    monkeypatch.setattr(hub, "cached", lambda *_: tmp_path)
    monkeypatch.setattr(hub, "ask", lambda *_: {})
    monkeypatch.setattr(hub, "folder", fetch)
    assert models.find("vitpose", download=True) == tmp_path
    assert fetched == [(row.repo, row.files)]
    data = tmp_path / "process_checkpoint" / "pose2d" / "vitpose_h_wholebody.onnx" / "more"
    with data.open("wb") as file:
        file.truncate(row.megabytes * 1_000_000)  # holes take no room
    assert models.find("vitpose", download=False) == tmp_path and len(fetched) == 1
