"""Skeleton, face box, mask, background and retargeting against values worked out by hand from the facts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from common.annotate.frames import Frame
from common.annotate.keypoints import Person
from common.driving import background, face, mask, retarget, skeleton
from tests.common.driving.bodies import STANDING, body, with_face

SIZE = (400, 800)


def drawn(
    points: dict[int, tuple[float, float]], size: tuple[int, int] = SIZE, score: float = 1.0
) -> np.ndarray:
    return np.asarray(skeleton.drawn(body(points, score), size, size))


def at(canvas: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(canvas[y, x].tolist())


# ---------------------------------------------------------------------- skeleton


@pytest.mark.parametrize(
    ("size", "width"),
    [((128, 128), 1), ((832, 480), 1), ((1280, 720), 2), ((800, 1200), 3), ((1100, 1100), 4)],
)
def test_a_stick_is_as_wide_as_the_short_side_says(size: tuple[int, int], width: int) -> None:
    # int(480 / 200) - 1 = 1, int(720 / 200) - 1 = 2, int(800 / 200) - 1 = 3, int(1100 / 200) - 1 = 4
    assert skeleton.stick_width(*size) == width


@pytest.mark.parametrize(
    ("rows", "colour"),
    [
        ((8, 10), (153, 153, 0)),  # right elbow to wrist: the fourth colour, (255, 255, 0), at 0.6
        ((13, 15), (0, 51, 153)),  # left knee to ankle: the twelfth, (0, 85, 255)
        ((15, 17, 18), (153, 0, 51)),  # left foot: the eighteenth, (255, 0, 85)
        ((16, 20, 21), (120, 120, 0)),  # right foot: the nineteenth, (200, 200, 0)
    ],
)
def test_a_stick_has_its_colour_at_six_tenths_and_its_width(
    rows: tuple[int, ...], colour: tuple[int, int, int]
) -> None:
    # 800x1200: half a width of 3, so that in its middle a stick is 7 pixels wide
    ends = [(100.0, 200.0), (300.0, 200.0), (300.0, 200.0)]
    canvas = drawn(dict(zip(rows, ends, strict=False)), (800, 1200))
    assert [at(canvas, 200, y) for y in range(197, 204)] == [colour] * 7
    assert at(canvas, 200, 196) == at(canvas, 200, 204) == (0, 0, 0)


def test_a_joint_is_a_disc_of_full_colour_over_its_sticks() -> None:
    canvas = drawn(
        {8: (100, 200), 10: (300, 200)}, (800, 1200)
    )  # elbow and wrist: the fourth and fifth colour
    assert [at(canvas, x, 200) for x in (96, 97, 103, 104)] == [
        (0, 0, 0), (255, 255, 0), (255, 255, 0), (153, 153, 0)
    ]  # fmt: skip
    assert [at(canvas, x, 200) for x in (297, 303, 304)] == [(170, 255, 0), (170, 255, 0), (0, 0, 0)]


def test_toes_have_the_last_two_colours_and_lie_between_big_and_small_toe() -> None:
    canvas = drawn({17: (100, 300), 18: (120, 300), 20: (200, 300), 21: (220, 300)})
    assert at(canvas, 110, 300) == (200, 200, 0) and at(canvas, 210, 300) == (100, 100, 0)


def test_the_neck_lies_between_the_shoulders() -> None:
    canvas = drawn({5: (300, 100), 6: (100, 140)})
    assert at(canvas, 200, 120) == (255, 85, 0)
    assert at(canvas, 150, 130) == (153, 0, 0)  # neck to right shoulder: the first colour
    assert at(canvas, 250, 110) == (153, 51, 0)  # to the left one: the second


def test_nothing_is_drawn_below_the_threshold() -> None:
    assert drawn(dict(STANDING), score=0.5).any()
    assert not drawn(dict(STANDING), score=0.49).any()


def test_a_joint_of_which_one_half_is_unknown_is_not_drawn() -> None:
    # The mean of (300, 100) and of nothing would be a neck at (150, 50).
    canvas = drawn({5: (300, 100)})
    assert at(canvas, 300, 100) == (85, 255, 0) and not canvas[40:60, 140:160].any()


def test_a_face_is_not_drawn() -> None:
    figure = with_face(body({}), 100, 100, 200, 200)
    assert not np.asarray(skeleton.drawn(figure, SIZE, SIZE)).any()


def test_hands_are_lines_of_all_hues_at_half_the_width_with_blue_joints() -> None:
    # short side 1700: sticks of 7, hands of 3. Hue 0 is red; the second finger begins at 4 / 20, which is
    # (0.8, 1, 0); the last line at 19 / 20: (1, 0, 0.3)
    hand = {91: (100, 100), 92: (180, 100), 96: (100, 180), 110: (300, 100), 111: (300, 180)}
    canvas = drawn(hand, (1700, 1700))
    assert at(canvas, 140, 100) == (255, 0, 0)
    assert at(canvas, 100, 140) == (204, 255, 0)
    assert np.abs(np.array(at(canvas, 300, 140)) - [255, 0, 76.5]).max() <= 1
    assert [at(canvas, x, 100) for x in (96, 97, 100)] == [(0, 0, 0), (0, 0, 255), (0, 0, 255)]


def test_the_right_hand_is_drawn_like_the_left() -> None:
    left, right = ({first: (100, 100), first + 1: (180, 100)} for first in (91, 112))
    assert np.array_equal(drawn(left), drawn(right))


def test_a_body_seen_in_a_larger_frame_is_drawn_smaller_with_sticks_of_the_outputs_width() -> None:
    small = skeleton.drawn(body({8: (200, 400), 10: (600, 400)}), (400, 800), (800, 1600))
    assert np.array_equal(np.asarray(small), drawn({8: (100, 200), 10: (300, 200)}))


def test_a_place_that_is_none_is_not_drawn() -> None:
    assert not drawn({0: (math.nan, 10), 91: (math.inf, 5)}).any()


# ---------------------------------------------------------------------- face


def test_a_face_box_has_1_3_times_the_area_and_grows_three_quarters_upward() -> None:
    # 100 x 100 becomes 114.02 x 114.02: 7.01 to each side, 10.51 up, 3.50 down; whole numbers are cut off.
    found = face.box(with_face(body({}), 100, 100, 200, 200), SIZE)
    assert found == (92, 89, 207, 203)


def test_a_face_box_keeps_its_shape() -> None:
    # 200 x 100: 14.02 to each side
    assert face.box(with_face(body({}), 100, 100, 300, 200), SIZE) == (85, 89, 314, 203)


def test_a_face_box_stays_in_the_frame() -> None:
    assert face.box(with_face(body({}), 2, 3, 398, 799), SIZE) == (0, 0, 400, 800)


def test_a_face_of_guesses_is_none() -> None:
    seen = with_face(body({}), 100, 100, 200, 200)
    assert face.box(Person(seen.points, seen.scores * np.float32(0.31)), SIZE) is not None
    assert face.box(Person(seen.points, seen.scores * np.float32(0.29)), SIZE) is None
    assert face.box(body({}), SIZE) is None


def test_a_face_beside_the_frame_is_none() -> None:
    assert face.box(with_face(body({}), 500, 100, 600, 200), SIZE) is None


def test_a_face_is_512_by_512_rgb() -> None:
    frame = Image.new("RGBA", SIZE, (10, 20, 30, 255))
    frame.paste((200, 100, 0, 255), (100, 100, 200, 300))
    cut = face.cut(frame, (100, 100, 200, 300))
    assert cut.size == (512, 512) and cut.mode == "RGB" and cut.getcolors() == [(512 * 512, (200, 100, 0))]


# ---------------------------------------------------------------------- mask, background


def shape(*boxes: tuple[int, int, int, int]) -> Frame:
    image = Image.new("RGB", (100, 60))
    for box in boxes:
        image.paste((255, 255, 255), box)
    return image


def test_a_mask_is_nine_pixels_larger_and_its_box_is_full() -> None:
    # 7x7 reaches 3 pixels, three times 9; the two corners of the box are filled too.
    grown = np.asarray(mask.grown(shape((20, 20, 30, 25), (50, 35, 60, 40))))[..., 0].copy()
    assert (grown[11:49, 11:69] == 255).all()
    grown[11:49, 11:69] = 0
    assert not grown.any()


def test_a_mask_ends_with_its_frame() -> None:
    grown = np.asarray(mask.grown(shape((0, 55, 5, 60))))[..., 0]
    assert (grown[46:60, 0:14] == 255).all() and grown.sum() == 14 * 14 * 255


def test_nobody_has_no_mask() -> None:
    assert not np.asarray(mask.grown(shape())).any()


def test_a_background_is_black_where_the_mask_is_white() -> None:
    frame = Image.new("RGB", (100, 60), (10, 200, 30))
    scene = np.asarray(background.without(frame, shape((20, 10, 40, 30))))
    assert (scene[10:30, 20:40] == 0).all()
    assert (scene[:, :20] == (10, 200, 30)).all() and (scene[30:] == (10, 200, 30)).all()


# ---------------------------------------------------------------------- retargeting


def moved(x: float, y: float, times: float = 1.0, **instead: tuple[float, float]) -> Person:
    """The standing body, scaled from (0, 0) and then moved; `_9=(x, y)` puts a point elsewhere before."""
    places = {**STANDING, **{int(row[1:]): at for row, at in instead.items()}}
    return body({row: (px * times + x, py * times + y) for row, (px, py) in places.items()})


def without(person: Person, *rows: int) -> Person:
    scores = person.scores.copy()
    scores[list(rows)] = 0
    return Person(person.points, scores)


def only(person: Person | None) -> np.ndarray:
    assert person is not None
    return person.points[:23]


def test_a_body_of_the_characters_own_proportions_is_left_as_it_is() -> None:
    (same,) = retarget.retargeted([moved(0, 0)], moved(0, 0), moved(0, 0))
    assert np.abs(only(same) - moved(0, 0).points[:23]).max() < 1e-3


def test_a_character_twice_as_tall_makes_steps_twice_as_long_from_where_it_stands() -> None:
    first, character = moved(0, 0), moved(300, 100, 2)
    begun, stepped = retarget.retargeted([first, moved(10, 0)], first, character)
    assert np.abs(only(begun) - character.points[:23]).max() < 1e-3
    assert np.abs(only(stepped) - character.points[:23] - (20, 0)).max() < 1e-3


def test_one_longer_forearm_makes_both_longer() -> None:
    # 30 pixels become 45: wrists at 90 + 45. Nothing else moves.
    character = moved(0, 0, _9=(130, 135))
    (result,) = retarget.retargeted([moved(0, 0)], moved(0, 0), character)
    expected = moved(0, 0, _9=(130, 135), _10=(70, 135)).points[:23]
    assert np.abs(only(result) - expected).max() < 1e-3
    assert retarget.ratios(moved(0, 0), character)[3] == retarget.ratios(moved(0, 0), character)[5] == 1.5


def test_longer_legs_stand_on_the_same_ground() -> None:
    # Shins of 80 instead of 40 pixels: the feet stay where the character's are, and the body rises.
    lower = {f"_{row}": (STANDING[row][0], STANDING[row][1] + 40) for row in range(15, 23)}
    (result,) = retarget.retargeted([moved(0, 0)], moved(0, 0), moved(0, 0, **lower))
    points = only(result)
    assert points[15].tolist() == pytest.approx([110, 240], abs=0.1)
    assert points[15][1] - points[13][1] == pytest.approx(80, abs=0.1)


def test_without_feet_the_neck_stays_where_the_characters_is() -> None:
    rows = range(13, 23)
    first, character = without(moved(0, 0), *rows), without(moved(40, 30, 2), *rows)
    (result,) = retarget.retargeted([first], first, character)
    assert only(result)[[5, 6]].mean(0).tolist() == pytest.approx([100 * 2 + 40, 60 * 2 + 30])


def test_a_bone_that_one_of_them_does_not_show_follows_its_twin_then_the_shoulders() -> None:
    first, twice = moved(0, 0), moved(0, 0, 2)
    assert retarget.ratios(first, without(twice, 9))[5] == 2
    assert retarget.ratios(first, without(twice, 9, 10))[3] == 2
    assert retarget.ratios(first, without(twice, *range(23))) == (1.0,) * 19


def test_a_bone_that_points_at_the_camera_does_not_stretch_without_end() -> None:
    first = moved(0, 0, _9=(130, 90.5), _10=(70, 90.5))  # forearms of half a pixel
    (result,) = retarget.retargeted([moved(0, 0)], first, moved(0, 0))
    assert only(result)[9].tolist() == pytest.approx([130, 90 + 3 * 30], abs=0.1)


def test_hands_go_with_their_wrists() -> None:
    first = moved(0, 0)
    first.points[91:112], first.scores[91:112] = (135, 125), 1
    (result,) = retarget.retargeted([first], first, moved(0, 0, _9=(130, 135)))
    assert result is not None and result.points[95].tolist() == pytest.approx([135, 140])


def test_a_body_without_a_neck_is_only_scaled_and_moved() -> None:
    first, character = moved(0, 0), moved(300, 100, 2)
    (lost,) = retarget.retargeted([without(first, 5)], first, character)
    assert np.abs(only(lost)[[0, 6, 11, 15]] - character.points[[0, 6, 11, 15]]).max() < 1e-3


def test_where_nobody_was_seen_nobody_is_made() -> None:
    assert retarget.retargeted([None], moved(0, 0), moved(5, 5)) == [None]


def test_a_foot_is_at_most_half_a_lower_leg() -> None:
    # Lower legs of 40: a foot of 100 pixels becomes 20.
    long = {f"_{row}": (210.0, 200.0) for row in (17, 18)}
    (result,) = retarget.retargeted([moved(0, 0, **long)], moved(0, 0), moved(0, 0))
    assert only(result)[17].tolist() == pytest.approx([130, 200], abs=0.1)
