"""Two processes make the very picture that one makes: each frame to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.common.runtime.crew.two_cards import Asked
from tests.spaces import media_for_modes as media

JOBS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "text": ("t2v", lambda _: {"checkpoint": "wan2.1-t2v-14b", "preset": "quality"}),
    "two experts, Fast with a LoRA on each": (
        "t2v", lambda _: {"checkpoint": "wan2.2-t2v-a14b", "preset": "fast", "num_inference_steps": 4},
    ),
    "seven heads, each token its own timestep": (
        "i2v", lambda folder: {"checkpoint": "wan2.2-ti2v-5b", "image": media.picture(folder / "a.png")},
    ),
    "three heads, two experts": (
        "i2v", lambda folder: {"checkpoint": "wan2.2-i2v-a14b", "image": media.picture(folder / "a.png")},
    ),
    "control, with a reference": (
        "vace", lambda folder: {
            "submode": "image_reference", "reference_images": [media.picture(folder / "a.png")],
        },
    ),
}  # fmt: skip
ROUNDED = {"seven heads, each token its own timestep", "three heads, two experts"}
"""Where heads are filled up torch sums in another order: a level of 255 here and there."""


@pytest.mark.parametrize("name", JOBS)
def test_a_picture_is_that_of_one_process(
    name: str, asked: Callable[[str], Asked], tmp_path: Path
) -> None:
    mode, values = JOBS[name]
    job, given = asked(mode), values(tmp_path)
    alone, shared = (job.made(cards, **given).astype(int) for cards in (1, 2))
    assert alone.std() > 5, "a picture, not one colour"
    off = np.abs(alone - shared).max()
    print(name, off)
    assert off <= (1 if name in ROUNDED else 0)
