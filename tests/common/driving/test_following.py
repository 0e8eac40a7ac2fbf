"""Who is followed, with boxes that can be reckoned in the head."""

from __future__ import annotations

import numpy as np

from common.driving.following import Following, areas, bounds, overlaps
from tests.common.driving.bodies import body

LEFT, RIGHT = [0, 0, 100, 200], [300, 0, 420, 250]


def boxes(*rows: list[int]) -> np.ndarray:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_overlap_is_what_is_shared_of_what_is_covered() -> None:
    # 10x10 and 10x10, half over each other: 50 of 150. Apart: none.
    shared = overlaps(boxes([5, 0, 15, 10], [20, 0, 30, 10], [0, 0, 10, 10]), boxes([0, 0, 10, 10])[0])
    assert np.allclose(shared, [1 / 3, 0, 1])
    assert areas(boxes([5, 0, 15, 30])).tolist() == [300]


def test_the_largest_of_the_first_frame_is_followed_when_somebody_else_grows() -> None:
    following = Following()
    assert following.choose(boxes(LEFT, RIGHT)) == 1
    for step in range(1, 20):
        # The other comes nearer until they are much larger; the order in which they are found changes.
        other, own = [0, 0, 100 + 10 * step, 400], [300 + step, 0, 420 + step, 250]
        found = (other, own) if step % 2 else (own, other)
        assert following.choose(boxes(*found)) == (1 if step % 2 else 0)


def test_who_is_hidden_is_waited_for() -> None:
    following = Following()
    following.choose(boxes(LEFT, RIGHT))
    assert [following.choose(boxes(LEFT)) for _ in range(14)] == [None] * 14
    assert following.choose(boxes(LEFT, RIGHT)) == 1


def test_who_is_gone_is_waited_for_no_longer_than_half_a_second() -> None:
    following = Following()
    following.choose(boxes(LEFT, RIGHT))
    assert [following.choose(boxes(LEFT)) for _ in range(16)] == [None] * 15 + [0]


def test_who_is_alone_is_the_same_after_a_cut() -> None:
    following = Following()
    following.choose(boxes(LEFT))
    assert following.choose(boxes(RIGHT)) == 0
    assert following.choose(boxes(RIGHT, LEFT)) == 0


def test_it_goes_on_with_whoever_was_seen_before() -> None:
    assert Following(boxes([2, 3, 98, 205])[0]).choose(boxes(LEFT, RIGHT)) == 0


def test_a_face_alone_is_known_by_the_box_that_it_lies_in() -> None:
    assert Following(boxes([340, 10, 370, 40])[0]).choose(boxes([0, 0, 200, 400], [290, 0, 490, 400])) == 1


def test_bounds_are_those_of_what_is_seen() -> None:
    person = body({0: (30, 20), 5: (50, 60), 6: (10, 58)})
    person.points[7], person.scores[7] = (900, 900), 0.1
    found = bounds(person)
    assert found is not None and found.tolist() == [9, 19, 51, 61]
    assert bounds(None) is None and bounds(body({})) is None
