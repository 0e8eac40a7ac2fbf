"""The tracker reads back where the rendered world's shapes are, and refuses what is not of that world."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from common.annotate.frames import array, unchecked
from common.driving.makers import MAKERS, Means
from common.driving.nano import Nano, Sighting
from common.errors import InputError
from nano.judge.cases import as_array, pil
from nano.train.performances import in_pixels
from nano.train.world import SPINNING, Scenes, paths, render
from nano.words import BACKGROUNDS, SHAPES

FRAMES = 9


def shown(shape: str, background: str, motion: int = SPINNING, size=(128, 192), radius=0.3):
    """Frames of one scene, and x, y, radius and angle in pixels of each."""
    height, width = size

    def whole(value: int) -> torch.Tensor:
        return torch.tensor([value])

    scenes = Scenes(
        whole(0), whole(SHAPES.index(shape)), whole(motion), whole(BACKGROUNDS.index(background)), whole(1),
        torch.tensor([radius]), torch.tensor([-0.2]), torch.tensor([0.1]),
    )  # fmt: skip
    clip, _ = render(scenes, FRAMES, height, width)
    way = in_pixels(paths(scenes, FRAMES, width / height), height, width)
    return [pil(frame) for frame in as_array(clip[0])], torch.stack([p[0] for p in way], 1).numpy()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("background", "size"), [("black", (128, 128)), ("beige", (192, 128))])
def test_place_size_and_turn_are_those_of_the_world(shape, background, size):
    frames, true = shown(shape, background, size=size)
    seen = np.array(Nano().see(frames, unchecked))
    assert np.abs(seen[:, :2] - true[:, :2]).max() < 1
    assert np.abs(seen[:, 2] / true[:, 2] - 1).max() < 0.08
    turned = seen[:, 3] - (0 if shape == "circle" else true[:, 3])
    assert np.abs(turned).max() < math.radians(8)  # one wrong pixel of a star's tip is as much


def test_a_shape_cut_by_the_edge_is_as_large_as_it_is():
    frames, true = shown("square", "gray", motion=1, radius=0.5)
    frames = [frame.crop((0, 0, 150, 128)) for frame in frames]
    seen = np.array(Nano().see(frames, unchecked))[:, :4]
    assert true[-1, 0] + 0.86 * true[-1, 2] > 150  # it is cut
    assert np.abs(seen - true)[:, :2].max() < 3 and np.abs(seen[:, 2] / true[:, 2] - 1).max() < 0.1


def test_sightings_are_in_the_pixels_of_the_frame():
    frames, true = shown("star", "navy")
    large = [frame.resize((384, 256), Image.Resampling.LANCZOS) for frame in frames]
    seen = np.array(Nano().see(large, unchecked))
    assert np.abs((seen[:, :2] + 0.5) / 2 - 0.5 - true[:, :2]).max() < 1
    drawn = Nano().pose(Sighting(*seen[0]), (192, 128), (384, 256))
    rows, columns = np.nonzero(array(drawn).max(-1) > 100)
    assert drawn.size == (192, 128)
    assert abs(rows.mean() - true[0, 1]) < 1 and abs(columns.mean() - true[0, 0]) < 1


def test_the_hand_shows_the_turn():
    maker = Nano()
    for angle, (dx, dy) in {0.0: (0, -1), math.pi / 2: (1, 0), math.pi: (0, 1)}.items():
        picture = array(maker.pose(Sighting(64, 64, 30, angle), (128, 128), (128, 128))).astype(int)
        assert picture[64 + 20 * dy, 64 + 20 * dx, 0] > 200  # the hand
        assert picture[64 - 20 * dy, 64 - 20 * dx, 2] > 200 > picture[64 - 20 * dy, 64 - 20 * dx, 0]
        assert (picture[:10] == 0).all()


def test_the_face_is_the_shape_and_the_mask_a_box_with_its_shadow():
    maker = Nano()
    frames, _ = shown("triangle", "beige")
    seen = maker.see(frames, unchecked)
    assert seen[0] is not None
    face = maker.face(frames[0], seen[0])
    assert face is not None and face.size == (512, 512)
    red, _, blue = array(face)[256, 256]
    assert red > 150 > blue
    for frame, mask in zip(frames, maker.masks(frames, seen, unchecked), strict=True):
        white = array(mask).max(-1)
        assert mask.size == frame.size and set(np.unique(white)) == {0, 255}
        kept = array(frame)[white == 0].astype(int)
        assert (kept.max(0) - kept.min(0)).max() < 45  # a floor, and nothing on it


def test_no_shape_in_a_frame_is_said_and_masks_nothing():
    frames, _ = shown("circle", "black")
    frames[3] = Image.new("RGB", frames[0].size, (8, 8, 10))
    maker = Nano()
    seen = maker.see(frames, unchecked)
    assert [index for index, one in enumerate(seen) if one is None] == [3]
    assert array(maker.masks(frames, seen, unchecked)[3]).max() == 0


def test_of_two_shapes_the_larger_is_followed_and_that_is_said():
    frames, true = shown("square", "black", radius=0.35)
    for frame in frames:
        frame.paste((30, 200, 60), (150, 90, 176, 116))
    maker = Nano()
    seen = np.array(maker.see(frames, unchecked))
    assert np.abs(seen[:, :2] - true[:, :2]).max() < 1
    assert maker.notices == ["The driving video shows more than one shape: the largest is followed."]


def test_what_is_not_of_nanos_world_is_refused_with_a_way_out():
    dice = np.random.default_rng(0)
    photograph = Image.fromarray(dice.integers(0, 255, (9, 9, 3), np.uint8)).resize((192, 128))
    with pytest.raises(InputError, match=r"nano's shapes on a plain background.*red circle.*--weights wan"):
        Nano().see([photograph] * 3, unchecked)
    assert Nano().see([photograph], unchecked) == [None]  # a character may be anything


def test_it_is_one_of_the_makers():
    maker = MAKERS["nano"](Means())
    seen = [Sighting(1.0, 2.0, 3.0, 0.5)]
    assert maker.kept_as is Sighting and maker.retargeted(seen, seen[0], seen[0]) == seen
