"""Where tokens stand in time and on the picture."""

from __future__ import annotations

import math

import pytest
import torch

from common.runtime.pipelines.s2v.rope import Grid, places, rotary_embedding


@pytest.mark.parametrize(
    ("first", "span", "count", "expected"),
    [
        (0, 20, 20, tuple(range(20))),
        (30, 1, 1, (30,)),
        (-19, 16, 4, (-19, -14, -9, -4)),
        (-3, 2, 1, (-3,)),
        (-5, 5, 5, (-5, -4, -3, -2, -1)),
        (0, 8, 4, (0, 2, 4, 7)),
    ],
)
def test_places_are_whole_and_rounded_towards_nought(
    first: int, span: int, count: int, expected: tuple[int, ...]
) -> None:
    assert places(first, span, count) == expected


def test_tokens_are_turned_by_frame_row_and_column() -> None:
    cosines, sines = rotary_embedding(
        [Grid((30,), (0,), (0,)), Grid((-3, 2), (4,), (5, 6))], 20, torch.device("cpu")
    )
    assert cosines.shape == sines.shape == (1, 5, 1, 20) and cosines.dtype == torch.float32
    # A head of 20 has 8 numbers for frames, 6 for rows, 6 for columns, in pairs of one angle.
    angles = [
        *(place * 10000 ** (-i / 4) for place in [-3] for i in range(4)),
        *(4 * 10000 ** (-i / 3) for i in range(3)),
        *(6 * 10000 ** (-i / 3) for i in range(3)),
    ]
    twice = [angle for angle in angles for _ in range(2)]
    assert cosines[0, 2, 0].tolist() == pytest.approx([math.cos(a) for a in twice], abs=1e-6)
    assert sines[0, 2, 0].tolist() == pytest.approx([math.sin(a) for a in twice], abs=1e-6)
