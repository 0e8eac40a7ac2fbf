"""Polarity, gray, padding, letterbox, crop and colours against values worked out by hand."""

import numpy as np
import pytest
from PIL import Image

from common.annotate import flow, frames, gray, masks
from common.annotate.frames import Control
from common.annotate.scribble import scribble
from common.control import extension, layout, outpaint, references
from common.control.composition import composed


def solid(value: int | tuple[int, int, int], width: int = 8, height: int = 8) -> Image.Image:
    return Image.new("RGB", (width, height), value if isinstance(value, tuple) else (value,) * 3)


def values(image: Image.Image) -> set[int]:
    return set(np.unique(np.asarray(image)))


# ---------------------------------------------------------------------- frames


def test_cover_cuts_the_centre_out() -> None:
    # 40x10: red | green | blue | white, ten pixels each. A 20x10 frame keeps the middle two.
    image = Image.new("RGB", (40, 10))
    for i, colour in enumerate([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]):
        image.paste(colour, (10 * i, 0, 10 * i + 10, 10))
    cut = frames.cover(image, 20, 10)
    assert cut.size == (20, 10)
    assert cut.getpixel((4, 5)) == (0, 255, 0)
    assert cut.getpixel((15, 5)) == (0, 0, 255)


def test_letterbox_pads_evenly_above_and_below() -> None:
    # 16:8 into 16x16 leaves 8 rows: 4 above, 4 below.
    boxed = np.asarray(frames.letterbox(solid(200, 16, 8), 16, 16))[..., 0]
    assert (boxed[:4] == 0).all() and (boxed[12:] == 0).all() and (boxed[4:12] == 200).all()


def test_contain_rounds_the_place_inside_the_frame() -> None:
    # 100x50 into 128x128: scale 1.28, 128x64, 32 rows above.
    assert frames.contain((100, 50), 128, 128) == frames.Placement(0, 32, 128, 64)


def test_missing_pixels_are_within_one_half_of_127_5() -> None:
    assert abs(frames.GRAY - 127.5) <= 0.5


# ---------------------------------------------------------------------- control


def test_gray_is_bt601_luma_on_three_channels() -> None:
    # 0.299 * 255 = 76.2, 0.587 * 255 = 149.7, 0.114 * 255 = 29.1
    for colour, luma in (((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)):
        assert gray.gray([solid(colour)])[0].getpixel((3, 3)) == (luma,) * 3


def test_scribble_is_bright_lines_on_black() -> None:
    image = solid(0, 64, 64)
    image.paste((255, 255, 255), (16, 16, 48, 48))
    drawn = np.asarray(scribble([image])[0])[..., 0]
    assert set(np.unique(drawn)) == {0, 255}
    assert drawn[32, 14:19].max() == 255 and drawn[32, 46:51].max() == 255  # both sides of the square
    assert drawn[32, 32] == 0 and drawn[4, 4] == 0  # neither its inside nor the background


def test_flow_wheel_has_the_55_hues_of_baker() -> None:
    wheel = flow.wheel()
    assert len(wheel) == 15 + 6 + 4 + 11 + 13 + 6
    assert wheel[0].tolist() == [255, 0, 0]
    assert wheel[15].tolist() == [255, 255, 0]
    assert wheel[21].tolist() == [0, 255, 0]
    assert wheel[25].tolist() == [0, 255, 255]
    assert wheel[36].tolist() == [0, 0, 255]
    assert wheel[49].tolist() == [255, 0, 255]
    assert wheel[1].tolist() == [255, 17, 0]  # 255 / 15


@pytest.mark.parametrize(
    ("motion", "colour"),
    [
        # Hue at ((atan2(-v, -u) / pi + 1) / 2) * 54 of the wheel, full saturation.
        ((1.0, 0.0), (255, 0, 0)),  # right: 0 -> red
        ((0.0, 1.0), (255, 230, 0)),  # down: 13.5 -> between floor(255*13/15)=221 and floor(255*14/15)=238
        ((-1.0, 0.0), (0, 209, 255)),  # left: 27 -> 255 - floor(255*2/11) = 209
    ],
)
def test_flow_colours(motion: tuple[float, float], colour: tuple[int, int, int]) -> None:
    field = np.zeros((4, 4, 2), np.float32)
    field[...] = motion
    assert np.abs(flow.colour(field)[1, 1].astype(int) - colour).max() <= 1


def test_flow_is_white_where_nothing_moves() -> None:
    field = np.zeros((4, 4, 2), np.float32)
    field[0, 0] = (3, 0)
    assert flow.colour(field)[2, 2].tolist() == [255, 255, 255]


def test_the_noise_of_a_clip_that_stands_still_has_no_colour() -> None:
    field = np.zeros((4, 4, 2), np.float32)
    field[0, 0] = (0.01, -0.01)
    assert flow.colour(field).min() >= 245


def test_first_flow_map_is_shown_twice() -> None:
    moving = [solid(0, 64, 64) for _ in range(3)]
    for i, image in enumerate(moving):
        image.paste((255, 255, 255), (10 + 4 * i, 20, 30 + 4 * i, 40))
    maps = flow.dis_flow(moving)
    assert len(maps) == 3
    assert np.array_equal(np.asarray(maps[0]), np.asarray(maps[1]))
    red, green, blue = np.asarray(maps[1])[30, 20]  # inside the square, which moves right
    assert red > 200 and green < 120 and blue < 120


# ---------------------------------------------------------------------- masks


def test_box_in_shares_is_a_box_in_pixels() -> None:
    mask = np.asarray(masks.from_box([0.25, 0.5, 0.75, 1.0], 8, 4))[..., 0]
    assert mask.tolist() == [
        [0] * 8,
        [0] * 8,
        [0, 0, 255, 255, 255, 255, 0, 0],
        [0, 0, 255, 255, 255, 255, 0, 0],
    ]


def test_fill_is_gray_in_the_white_and_untouched_in_the_black() -> None:
    mask = masks.from_box([0.0, 0.0, 0.5, 1.0], 4, 2)
    filled = np.asarray(masks.filled(solid((10, 20, 30), 4, 2), mask))
    assert filled[0, 0].tolist() == [128, 128, 128] and filled[0, 3].tolist() == [10, 20, 30]


def test_masks_are_hard_at_one_half() -> None:
    assert values(masks.hard(solid(127))) == {0}
    assert values(masks.hard(solid(128))) == {255}


def test_growth_by_bbox_hull_and_original() -> None:
    mask = Image.new("RGB", (20, 20))
    for spot in ((5, 5), (14, 5), (5, 14)):  # three corners of a triangle
        mask.putpixel(spot, (255, 255, 255))
    original = masks.as_bool(masks.grown(mask))
    hull = masks.as_bool(masks.grown(mask, "hull"))
    box = masks.as_bool(masks.grown(mask, "bbox"))
    larger = masks.as_bool(masks.grown(mask, "bbox", 2))
    assert original.sum() == 3
    assert hull[8, 8] and not hull[13, 13]  # inside and outside of the triangle
    assert box.sum() == 100 and box[5, 5] and box[14, 14] and not box[15, 5]  # 5..14 both ways
    assert larger.sum() == 14 * 14 and larger[3, 3] and larger[16, 16]


def test_dilation_by_n_reaches_n_pixels() -> None:
    mask = Image.new("RGB", (20, 20))
    mask.putpixel((10, 10), (255, 255, 255))
    white = masks.as_bool(masks.grown(mask, by=3))
    assert white[10, 7] and white[10, 13] and white[7, 10] and not white[10, 6] and not white[7, 7]


def test_subject_lies_on_white() -> None:
    cut = masks.subject(solid((9, 9, 9), 8, 8), masks.from_box([0.25, 0.25, 0.75, 0.75], 8, 8))
    assert cut.size == (4, 4) and values(cut) == {9}


# ---------------------------------------------------------------------- layout


def test_moving_box_goes_evenly_and_is_two_pixels_black_on_white() -> None:
    boxes = layout.moving_box([0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1], 3, 64, 64)
    middle = np.asarray(boxes[1])[..., 0]
    assert {0, 255} == set(np.unique(middle))
    rows, columns = np.nonzero(middle == 0)
    assert (abs(columns.min() - 16) <= 1, abs(rows.max() - 47) <= 1) == (True, True)  # halfway: 16 to 48
    assert middle[32, 32] == 255  # an outline, not a block
    assert (middle[32, :32] == 0).sum() in (2, 3)


def test_tracked_outline_is_black_on_white() -> None:
    drawn = np.asarray(layout.tracked_outline([masks.from_box([0.25, 0.25, 0.75, 0.75], 64, 64)])[0])[..., 0]
    assert drawn[32, 32] == 255 and drawn[0, 0] == 255 and drawn[16, 32] == 0
    assert 3 <= (drawn[32, :32] == 0).sum() <= 5  # OpenCV rounds a contour of 3 outwards


# ---------------------------------------------------------------------- outpaint


def test_outward_keeps_the_whole_source_in_its_place() -> None:
    # 100x100 grows by half to the left and right: 200x100. Into 128x128: scale 0.64, 128x64, 32 above;
    # the source is 64x64 at (32, 32).
    made = outpaint.outward([solid(7, 100, 100)], outpaint.Growth(0.5, 0.5), 128, 128)
    video, mask = np.asarray(made.video[0])[..., 0], np.asarray(made.mask[0])[..., 0]
    assert (video[32:96, 32:96] == 7).all() and (mask[32:96, 32:96] == 0).all()
    outside = np.ones_like(mask, bool)
    outside[32:96, 32:96] = False
    assert (video[outside] == 128).all() and (mask[outside] == 255).all()


def test_outward_to_one_side_puts_the_source_at_the_other() -> None:
    # 96x128 grows by a third to the right: 128x128, scale 1; the source keeps its left edge.
    made = outpaint.outward([solid(7, 96, 128)], outpaint.Growth(right=1 / 3), 128, 128)
    mask = np.asarray(made.mask[0])[..., 0]
    assert (mask[:, :96] == 0).all() and (mask[:, 96:] == 255).all()


def test_inward_keeps_the_middle() -> None:
    made = outpaint.inward([solid(7, 100, 50)], outpaint.Growth(0.1, 0.2, 0.2, 0))
    video, mask = np.asarray(made.video[0])[..., 0], np.asarray(made.mask[0])[..., 0]
    assert (mask[10:50, 10:80] == 0).all() and (video[10:50, 10:80] == 7).all()
    assert (mask == 0).sum() == 70 * 40 and (video == 128).sum() == 5000 - 2800


def test_without_sides_a_quarter_grows_left_and_right() -> None:
    assert outpaint.growth(None, None, None, None) == outpaint.Growth(0.25, 0.25, 0, 0)
    assert outpaint.growth(None, None, 0.5, None) == outpaint.Growth(0, 0, 0.5, 0)


# ---------------------------------------------------------------------- extension


def marks(control: Control) -> list[tuple[int, int]]:
    """(video, mask) of each frame, by its top left pixel."""
    return [
        (v.getpixel((0, 0))[0], m.getpixel((0, 0))[0])
        for v, m in zip(control.video, control.mask, strict=True)
    ]


def test_extension_keeps_black_and_makes_white() -> None:
    first, last = [solid(1)], [solid(2)]
    assert marks(extension.extended(first, [], 5)) == [(1, 0)] + [(128, 255)] * 4
    assert marks(extension.extended([], last, 5)) == [(128, 255)] * 4 + [(2, 0)]
    assert marks(extension.extended(first, last, 5)) == [(1, 0)] + [(128, 255)] * 3 + [(2, 0)]


def test_keyframes_keep_their_numbers() -> None:
    made = extension.keyframes([solid(i) for i in range(5)], [0, 3])
    assert marks(made) == [(0, 0), (128, 255), (128, 255), (3, 0), (128, 255)]


# ---------------------------------------------------------------------- references and composition


def test_references_are_centred_on_white() -> None:
    # 10x20 into 40x40: scale 2, 20x40, ten columns of white on either side.
    made = np.asarray(references.references([solid(5, 10, 20)], 40, 40)[0])[..., 0]
    assert (made[:, :10] == 255).all() and (made[:, 30:] == 255).all() and (made[:, 10:30] == 5).all()


def test_composition_keeps_what_the_first_keeps() -> None:
    half = masks.from_box([0.5, 0, 1, 1], 8, 8)  # the first keeps its left half
    first = Control([solid(10)], [half])
    second = Control([solid(20)], [solid(255)])
    made = composed(first, second)
    video, mask = np.asarray(made.video[0])[..., 0], np.asarray(made.mask[0])[..., 0]
    assert (video[:, :4] == 10).all() and (video[:, 4:] == 20).all()
    assert (mask[:, :4] == 0).all() and (mask[:, 4:] == 255).all()
    # m1 * m2: what the second keeps is kept as well.
    assert values(composed(first, Control([solid(20)], [solid(0)])).mask[0]) == {0}
