"""The model-backed makers run on tiny random models of the same classes, in folders as on the Hub."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image

from common.annotate import detect, keypoints, models, pose, raft
from common.annotate.depth import depth, stretched
from common.annotate.keypoints import Person
from common.annotate.track import track_box, track_mask
from common.catalog import ANNOTATORS
from common.control.makers import Material, make
from common.errors import Cancelled, InputError, WeightsError
from common.modes.submodes import SUBMODES
from common.modes.vace import MODE
from tests.common.annotate import tiny_models

W, H, N = 64, 48, 5


def clip() -> list[Image.Image]:
    made = [Image.new("RGB", (W, H)) for _ in range(N)]
    for i, frame in enumerate(made):
        frame.paste((255, 255, 255), (10 + 3 * i, 15, 30 + 3 * i, 35))
    return made


@pytest.fixture(scope="module")
def annotators(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("annotators")
    torch.manual_seed(0)
    tiny_models.save_depth_anything(root / "depth-anything")
    tiny_models.save_dpt(root / "dpt-hybrid")
    tiny_models.save_sam2(root / "sam2")
    tiny_models.save_grounding_dino(root / "grounding-dino")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(models.FOLDER, str(root))
        yield root


# ---------------------------------------------------------------------- depth


@pytest.mark.parametrize("key", ["dpt-hybrid", "depth-anything"])
def test_depth_fills_the_range_of_every_frame(annotators, key: str) -> None:
    maps = depth(clip(), annotators / key, "cpu")
    assert len(maps) == N and {m.size for m in maps} == {(W, H)}
    # A random model may see nothing (a ReLU ends it): then the map is black, else it spans the range.
    assert all((np.asarray(m).min(), np.asarray(m).max()) in ((0, 0), (0, 255)) for m in maps)


def test_near_is_white() -> None:
    # Both families predict nearness: 1, 3, 5 become 0, 127, 255.
    made = np.asarray(stretched(np.array([[1.0, 3.0, 5.0]])))[..., 0]
    assert made.tolist() == [[0, 127, 255]]


# ---------------------------------------------------------------------- tracking


def test_tracking_from_a_mask_and_a_box_gives_a_hard_mask_a_frame(annotators) -> None:
    start = Image.new("RGB", (W, H))
    start.paste((255, 255, 255), (10, 15, 30, 35))
    for found in (
        track_mask(clip(), start, annotators / "sam2", "cpu"),
        track_box(clip(), (10, 15, 30, 35), annotators / "sam2", "cpu"),
    ):
        assert len(found) == N and {m.size for m in found} == {(W, H)}
        assert {v for m in found for v in np.unique(np.asarray(m))} <= {0, 255}


def test_the_first_tracked_mask_is_the_given_one(annotators) -> None:
    # SAM 2 answers a mask prompt with the mask itself, whatever its weights.
    start = Image.new("RGB", (W, H))
    start.paste((255, 255, 255), (10, 15, 30, 35))
    first = np.asarray(track_mask(clip(), start, annotators / "sam2", "cpu")[0])[..., 0] > 0
    given = np.asarray(start)[..., 0] > 0
    assert (first & given).sum() / (first | given).sum() > 0.7


@pytest.mark.parametrize("at", [1, N - 1])
def test_a_mask_of_another_frame_is_followed_both_ways(annotators, at: int) -> None:
    start = Image.new("RGB", (W, H))
    start.paste((255, 255, 255), (10, 15, 30, 35))
    found = track_mask(clip(), start, annotators / "sam2", "cpu", start=at)
    assert len(found) == N and {m.size for m in found} == {(W, H)}
    there, given = np.asarray(found[at])[..., 0] > 0, np.asarray(start)[..., 0] > 0
    assert (there & given).sum() / (there | given).sum() > 0.7


@pytest.mark.parametrize("looks", [1, 3, N + 2])
def test_a_stop_is_seen_before_every_frame(annotators, monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Preparing looks once a frame and so does the model: N + 2 is in the middle of following."""
    seen: list[int] = []

    def check(done: int = 0, total: int = 0) -> None:
        seen.append(1)
        if len(seen) == looks:
            raise Cancelled()

    def stopped(make: Callable[[], object]) -> None:
        seen.clear()
        with pytest.raises(Cancelled):
            make()
        assert len(seen) == looks

    stopped(lambda: track_box(clip(), (10, 15, 30, 35), annotators / "sam2", "cpu", check))
    if looks <= N:
        monkeypatch.setattr(pose, "people", lambda *_: [])
        stopped(lambda: depth(clip(), annotators / "dpt-hybrid", "cpu", check))
        stopped(lambda: pose.pose(clip(), annotators, "cpu", check))


# ---------------------------------------------------------------------- words


def test_words_find_a_box_inside_the_frame(annotators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 0.0)
    left, top, right, bottom = detect.find_box(
        clip()[0], "Dog", annotators / "grounding-dino", "cpu", "label"
    )
    assert 0 <= left < right <= W and 0 <= top < bottom <= H


def test_words_that_find_nothing_are_an_input_error(annotators, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 1.1)
    with pytest.raises(InputError, match="label names nothing that was found in the first frame; got 'dog'"):
        detect.find_box(clip()[0], "dog", annotators / "grounding-dino", "cpu", "label")


def test_query_is_lower_case_with_a_full_stop() -> None:
    assert detect.query(" The Dog ") == "the dog."


# ---------------------------------------------------------------------- pose


class FakeSession:
    """An onnx session that answers with prepared arrays."""

    def __init__(self, *answers: np.ndarray) -> None:
        self.answers = answers
        self.seen: list[np.ndarray] = []

    def get_inputs(self):
        return [type("Input", (), {"name": "input"})]

    def run(self, outputs, feeds):
        self.seen.append(feeds["input"])
        return list(self.answers)


def test_yolox_rows_become_boxes_of_the_picture() -> None:
    # Row 81 is cell (1, 1) of the 80x80 grid at stride 8. Offsets of 0.5 put the centre at (12, 12); log
    # sizes of ln 2 make it 16 wide and high; a picture scaled by 0.5 doubles everything.
    rows = np.zeros((8400, 85), np.float32)
    rows[81, :6] = [0.5, 0.5, np.log(2), np.log(2), 0.9, 0.9]
    boxes = keypoints.boxes_of_people(rows, 0.5)
    assert boxes.round(3).tolist() == [[8, 8, 40, 40]]


def test_points_are_read_from_simcc_and_put_back_into_the_picture() -> None:
    # A box of 240x320 is 300x400 with its padding, in the model's 3:4, so 288x384 shrinks it by 0.96.
    x, y = np.zeros((1, 133, 576), np.float32), np.zeros((1, 133, 768), np.float32)
    x[..., 288], y[..., 384] = 0.8, 0.6  # bins are half pixels: (144, 192), the middle of the crop
    person = keypoints.posed(
        FakeSession(x, y), np.zeros((480, 640, 3), np.uint8), np.array([100, 50, 340, 370])
    )
    assert person.points[0].round(3).tolist() == [220, 210]  # the middle of the box
    assert person.scores[0] == pytest.approx(0.6)


def test_skeleton_has_red_and_blue_swapped() -> None:
    # OpenPose's first limb, neck to right shoulder, is (255, 0, 0); here it is (0, 0, 255) * 0.6.
    points = np.zeros((133, 2), np.float32)
    scores = np.zeros(133, np.float32)
    points[5], points[6] = (96, 32), (32, 32)  # shoulders; the neck is between them
    scores[5] = scores[6] = 1
    drawn = np.asarray(pose.drawn([Person(points, scores)], (1024, 1024), face=True))
    assert drawn[32, 48].tolist() == [0, 0, 153]
    assert drawn[32, 80].tolist() == [0, 51, 153]  # the second limb: (255, 85, 0) swapped, * 0.6
    assert drawn[32, 32].tolist() == [0, 170, 255]  # joint 2: (255, 170, 0) swapped
    assert drawn[500, 500].tolist() == [0, 0, 0]


def test_face_points_are_drawn_only_when_asked_and_hands_never() -> None:
    points = np.full((133, 2), 100, np.float32)
    scores = np.zeros(133, np.float32)
    scores[23:] = 1  # face and hands
    points[91:] = 400
    person = Person(points, scores)
    assert np.asarray(pose.drawn([person], (1024, 1024), face=True))[100, 100].tolist() == [255, 255, 255]
    assert np.asarray(pose.drawn([person], (1024, 1024), face=True))[400, 400].tolist() == [0, 0, 0]
    assert not np.asarray(pose.drawn([person], (1024, 1024), face=False)).any()


# ---------------------------------------------------------------------- raft


def test_raft_flow_pads_to_eight_and_cuts_back() -> None:
    class Right(torch.nn.Module):
        def forward(self, a, b):
            assert a.shape[-1] % 8 == 0 and a.shape[-2] % 8 == 0
            return [torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, *a.shape[-2:])]

    frame = torch.zeros(1, 3, 45, 61)
    flow = raft._pair(Right(), frame, frame)
    assert flow.shape == (45, 61, 2) and flow[0, 0].tolist() == [2, 0]


# ---------------------------------------------------------------------- whole sub-modes


@pytest.mark.parametrize(
    "submode",
    ["depth", "depth_anything", "inpainting_masktrack", "inpainting_bboxtrack", "inpainting_label",
     "inpainting_caption", "layout_track"],
)  # fmt: skip
def test_submodes_run_with_tiny_models(annotators, submode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detect, "_BOX_THRESHOLD", 0.0)
    values = {
        "prompt": "x",
        "submode": submode,
        "bbox": [0.1, 0.1, 0.5, 0.5],
        "label": "dog",
        "caption": "red dog",
    }
    mask = Image.new("RGB", (W, H))
    mask.paste((255, 255, 255), (10, 15, 30, 35))
    made = make(Material(MODE.parse(values), SUBMODES[submode], W, H, N, video=clip(), mask=[mask]))
    assert len(made.video) == len(made.mask) == N


def test_a_broken_folder_is_a_weights_error(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "depth-anything").mkdir()
    monkeypatch.setenv(models.FOLDER, str(tmp_path))
    with pytest.raises(WeightsError, match="cannot be loaded"):
        depth(clip(), models.find("depth-anything", download=False), "cpu")


def test_every_annotator_says_size_and_licence() -> None:
    assert all(a.megabytes > 0 and a.licence for a in ANNOTATORS.values())
