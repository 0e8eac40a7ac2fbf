"""Keeps to one person: the largest at first, then the one who overlaps most with where they were."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.annotate.keypoints import Floats, Person
from common.annotate.pose import THRESHOLD

Box = NDArray[np.float32]
"""Left, top, right, bottom."""

WITHIN = 0.8
"""So much of the last box inside of one that is much larger: of somebody only some joints were seen."""
SAME = 0.1
"""Overlap with the last box from which on it is the same person: even a jump leaves that at 24 frames a second."""
PATIENCE = 15
"""Choices for which somebody who is not seen is waited for, before the largest is followed anew."""

SEVERAL = "video shows several people: whoever is largest in its first frame is followed all along."


def areas(boxes: Floats) -> NDArray[Any]:
    """Of boxes [n, 4]."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def overlaps(boxes: Floats, box: Box) -> NDArray[Any]:
    """What each of boxes [n, 4] shares with a box, as a part of what they cover together."""
    shared = _shared(boxes, box)
    return shared / np.maximum(areas(boxes) + areas(box[None]) - shared, 1e-6)


def _shared(boxes: Floats, box: Box) -> NDArray[Any]:
    width = np.minimum(boxes[:, 2], box[2]) - np.maximum(boxes[:, 0], box[0])
    height = np.minimum(boxes[:, 3], box[3]) - np.maximum(boxes[:, 1], box[1])
    return np.clip(width, 0, None) * np.clip(height, 0, None)


def bounds(body: Person | None) -> Box | None:
    """The box around what is seen of a body, with a pixel around it."""
    if body is None or not (seen := body.scores > THRESHOLD).any():
        return None
    points = body.points[seen]
    return np.concatenate([points.min(0) - 1, points.max(0) + 1]).astype(np.float32)


class Following:
    """Chooses the performer's box among those of each frame, in the frames' order."""

    def __init__(self, last: Box | None = None, patience: int = PATIENCE) -> None:
        self.last = last
        self._patience = patience
        self._missed = 0
        self._alone = False

    def choose(self, boxes: Floats) -> int | None:
        """Which of boxes [n, 4] it is; None where it is none of them."""
        index = self._index(boxes)
        self._alone = len(boxes) == 1 and (index is not None or self._alone)
        if index is None:
            self._missed += 1
        else:
            self._missed, self.last = 0, boxes[index]
        return index

    def _index(self, boxes: Floats) -> int | None:
        if not len(boxes):
            return None
        if self.last is None or self._missed >= self._patience:
            return int(areas(boxes).argmax())
        shared = overlaps(boxes, self.last)
        best = int(shared.argmax())
        if shared[best] >= SAME:
            return best
        inside = _shared(boxes, self.last) / np.maximum(areas(self.last[None]), 1e-6)
        if inside.max() >= WITHIN:
            return int(inside.argmax())
        # Who was alone and is alone is the same person after a cut, too.
        return 0 if self._alone and len(boxes) == 1 else None
