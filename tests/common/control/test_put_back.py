"""What a mask keeps comes back as it was, and fades into what was made beside the mask's edge."""

import numpy as np
from PIL import Image

from common.annotate import masks
from common.control.put_back import put_back

RED, BLUE = (255, 0, 0), (0, 0, 255)


def half(side: int, value: int = 255) -> Image.Image:
    """White on the left half."""
    mask = Image.new("RGB", (side, side))
    mask.paste((value,) * 3, (0, 0, side // 2, side))
    return mask


def made(side: int, frames: int = 2) -> np.ndarray:
    return np.full((frames, side, side, 3), RED, np.uint8)


def test_the_kept_side_is_the_source_to_the_bit() -> None:
    # 120 pixels: the made frames fade out over 120 / 60 = 2 kept columns, 1/3 and 2/3 of the source.
    source = [Image.new("RGB", (120, 120), BLUE)] * 2
    whole = np.stack([*put_back(made(120), source, [half(120)] * 2)])
    assert (whole[:, :, :60] == RED).all() and (whole[:, :, 62:] == BLUE).all()
    assert whole[0, 0, 60].tolist() == [170, 0, 85] and whole[0, 0, 61].tolist() == [85, 0, 170]


def test_a_frame_whose_mask_is_black_is_the_source_and_white_is_the_made_one() -> None:
    source = [Image.new("RGB", (64, 64), BLUE)] * 2
    black, white = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")
    whole = np.stack([*put_back(made(64), source, [black, white])])
    assert (whole[0] == BLUE).all() and (whole[1] == RED).all()


def test_smoothed_edges_make_no_mask_soft_but_a_gradient_does() -> None:
    smooth = (
        half(128).resize((32, 32), Image.Resampling.BILINEAR).resize((128, 128), Image.Resampling.BILINEAR)
    )
    ramp = Image.fromarray(np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1)))
    assert not masks.is_soft(half(128)) and not masks.is_soft(smooth)
    assert masks.is_soft(ramp) and masks.is_soft(half(128, 140))
