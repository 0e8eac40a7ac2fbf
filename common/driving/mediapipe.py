"""Finds the performer's face by MediaPipe's models, and the body as `opencv` does.

For somebody who talks: the face's own points in every frame, also turned or tilted.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Frame, array
from common.annotate.keypoints import Person
from common.driving import blaze, detectors
from common.driving.makers import Means
from common.driving.opencv import OpenCV
from common.driving.proportions import SURE, Head

_TO_SQUARE, _LOWER = 0.94, 0.115
"""BlazeFace's box against the square that `proportions` is measured in: that has so much of its side, and the box
lies so many of the square's sides lower."""
_HEAD, _LANDMARKS = slice(0, 5), slice(23, 91)


class MediaPipe(OpenCV):
    """Head and shoulders, the head as it is turned."""

    name = "mediapipe"

    def __init__(self, means: Means) -> None:
        blaze.folder()
        super().__init__(means)

    def heads(self, image: NDArray[np.uint8], gray: detectors.Gray, scale: float) -> list[Head]:
        """By BlazeFace; who has no face that is seen, by their figure."""
        faces = []
        for left, top, right, bottom in (blaze.boxes(image) * scale).tolist():
            side = (right - left) * _TO_SQUARE
            faces.append(Head((left + right) / 2, (top + bottom) / 2 - _LOWER * side, side))
        return detectors.with_figures(faces, gray)

    def body(self, frame: Frame, head: Head) -> Person:
        """The head's joints and the face's landmarks where the mesh puts them; shoulders by proportion."""
        body = super().body(frame, head)
        middle = (head.x, head.y + _LOWER * head.side)
        found = blaze.face(array(frame), middle, head.side / _TO_SQUARE) if head.face else None
        if found is not None:
            body.points[_HEAD], body.scores[_HEAD] = found.head, SURE
            body.points[_LANDMARKS], body.scores[_LANDMARKS] = found.landmarks, SURE
        return body
