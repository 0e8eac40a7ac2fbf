"""Bodies whose every number is written down, for tests."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.annotate.keypoints import Person

STANDING: Mapping[int, tuple[float, float]] = {
    0: (100, 40),  # nose
    1: (105, 35), 2: (95, 35), 3: (110, 40), 4: (90, 40),  # eyes and ears: left before right
    5: (120, 60), 6: (80, 60),  # shoulders: the neck lies at (100, 60)
    7: (130, 90), 8: (70, 90), 9: (130, 120), 10: (70, 120),  # elbows, wrists
    11: (110, 120), 12: (90, 120), 13: (110, 160), 14: (90, 160), 15: (110, 200), 16: (90, 200),  # hips to ankles
    17: (120, 205), 18: (120, 205), 19: (108, 204), 20: (80, 205), 21: (80, 205), 22: (92, 204),  # toes and heels
}  # fmt: skip


def body(points: Mapping[int, tuple[float, float]], score: float = 1.0) -> Person:
    """A body of which these points of COCO-WholeBody are seen, and nothing else."""
    at, scores = np.zeros((133, 2), np.float32), np.zeros(133, np.float32)
    for row, place in points.items():
        at[row], scores[row] = place, score
    return Person(at, scores)


def with_face(person: Person, left: float, top: float, right: float, bottom: float) -> Person:
    """The same body with 68 landmarks, the outermost on these edges."""
    points, scores = person.points.copy(), person.scores.copy()
    points[23:91] = ((left + right) / 2, (top + bottom) / 2)
    points[23], points[24] = (left, top), (right, bottom)
    scores[23:91] = 1
    return Person(points, scores)
