"""Heads by OpenCV's classical detectors: faces by Haar cascades, people from afar or behind by HOG."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.driving.proportions import CROWN, HEAD, HEADS, Head
from common.errors import MissingDependency

Gray = NDArray[Any]

SIDE = 640
"""Pixels of the longer side of what is looked at; a face from 24 of them on is found."""

_FRONTAL, _PROFILE = "haarcascade_frontalface_alt2.xml", "haarcascade_profileface.xml"
_SMALLEST = 24
_NEIGHBOURS = 4
_HOG_SIDE = 400
_HOG_SURE = 0.5
_HOG_MARGIN = 0.125
"""HOG learned from windows with so much of their height above the head and below the feet."""


def ready() -> None:
    """Raises MissingDependency where this OpenCV has no classical detectors."""
    _cascades()


def small(image: NDArray[np.uint8]) -> tuple[Gray, float]:
    """A gray copy of an RGB picture to detect in, and how much smaller it is."""
    scale = min(SIDE / max(image.shape[:2]), 1.0)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    size = (round(gray.shape[1] * scale), round(gray.shape[0] * scale))
    return (gray if scale == 1 else cv2.resize(gray, size, interpolation=cv2.INTER_AREA)), scale


def heads(gray: Gray) -> list[Head]:
    """Everybody's, by faces; who has none that is seen, by their figure."""
    return with_figures(faces(gray), gray)


def with_figures(seen: list[Head], gray: Gray) -> list[Head]:
    """Heads with faces, and those of figures where none of them is."""
    return seen + [head for head in figures(gray) if not any(_is_at(face, head) for face in seen)]


def faces(gray: Gray) -> list[Head]:
    """Faces from the front; only where there is none, from the side."""
    frontal, profile = _cascades()
    even = cv2.equalizeHist(gray)
    found = _found(frontal, even) or _found(profile, even)
    if not found:  # the cascade knows profiles that look to the left
        found = [(gray.shape[1] - x - w, y, w, h) for x, y, w, h in _found(profile, even[:, ::-1].copy())]
    return [Head(x + w / 2, y + h / 2, float(w)) for x, y, w, h in found]


def figures(gray: Gray) -> list[Head]:
    """Heads of people who stand or walk upright, as seen from any side."""
    scale = min(_HOG_SIDE / max(gray.shape), 1.0)
    size = (round(gray.shape[1] * scale), round(gray.shape[0] * scale))
    picture = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    boxes, weights = _hog().detectMultiScale(picture, winStride=(8, 8), scale=1.1)
    made = []
    for (x, y, w, h), weight in zip(boxes, np.ravel(weights), strict=True):
        if weight < _HOG_SURE:
            continue
        tall = h * (1 - 2 * _HOG_MARGIN) / scale
        side = tall / HEADS / HEAD
        crown = (y + h * _HOG_MARGIN) / scale
        made.append(Head((x + w / 2) / scale, crown - CROWN * side, side, face=False))
    return made


def _found(cascade: Any, gray: Gray) -> list[tuple[int, int, int, int]]:
    least = (_SMALLEST, _SMALLEST)
    return [tuple(box) for box in cascade.detectMultiScale(gray, 1.15, _NEIGHBOURS, minSize=least)]


def _is_at(face: Head, figure: Head) -> bool:
    reach = 2 * max(face.side, figure.side)
    return abs(face.x - figure.x) < reach and abs(face.y - figure.y) < reach


@lru_cache(maxsize=1)
def _cascades() -> tuple[Any, Any]:
    classic: Any = cv2
    folder = Path(classic.data.haarcascades) if hasattr(classic, "data") else Path()
    if not hasattr(classic, "CascadeClassifier") or not (folder / _FRONTAL).exists():
        raise MissingDependency(
            f"the preprocessor `opencv` needs OpenCV 4, and this is {cv2.__version__}, which has no classical "
            "detectors any more; install it with `pip install 'opencv-python-headless<5'`, use the preprocessor "
            "`vitpose`, or give pose_video and face_video of your own"
        )
    return classic.CascadeClassifier(str(folder / _FRONTAL)), classic.CascadeClassifier(
        str(folder / _PROFILE)
    )


@lru_cache(maxsize=1)
def _hog() -> Any:
    classic: Any = cv2
    hog = classic.HOGDescriptor()
    hog.setSVMDetector(classic.HOGDescriptor.getDefaultPeopleDetector())
    return hog
