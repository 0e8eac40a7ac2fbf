"""Whole-body keypoints by DWPose through onnxruntime: YOLOX finds people, RTMPose their 133 points."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Frame, array
from common.annotate.models import loaded
from common.annotate.sessions import opened

Floats = NDArray[np.float32]

_DETECT = 640
_STRIDES = (8, 16, 32)
_SCORE, _OVERLAP = 0.3, 0.45
_POSE_W, _POSE_H = 288, 384
_BOX_PADDING = 1.25
_SIMCC_SPLIT = 2.0
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_STD = np.array([58.395, 57.12, 57.375], np.float32)


class Person(NamedTuple):
    """One body: points [133, 2] in pixels and their scores [133], in COCO-WholeBody order."""

    points: Floats
    scores: Floats


def people(frame: Frame, folder: Path, device: str) -> list[Person]:
    """Everybody in a frame. Without a detected person the whole frame is searched for one."""
    detector, poser = loaded(_load, folder, device)
    image = array(frame)
    boxes = detected(detector, image)
    if not len(boxes):
        boxes = np.array([[0, 0, frame.width, frame.height]], np.float32)
    return [posed(poser, image, box) for box in boxes]


def detected(session: Any, image: NDArray[np.uint8]) -> Floats:
    """Boxes of people [n, 4] as left, top, right, bottom."""
    height, width = image.shape[:2]
    ratio = min(_DETECT / height, _DETECT / width)
    canvas = np.full((_DETECT, _DETECT, 3), 114, np.uint8)
    small = cv2.resize(image, (int(width * ratio), int(height * ratio)))
    canvas[: small.shape[0], : small.shape[1]] = small
    blob = canvas[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32)  # BGR, not normalised
    output = np.asarray(session.run(None, {session.get_inputs()[0].name: blob})[0])[0]
    return boxes_of_people(output, ratio)


def boxes_of_people(output: Floats, ratio: float) -> Floats:
    """YOLOX's raw rows (offset, log size, objectness, classes) into boxes of the original picture."""
    grids = [np.stack(np.meshgrid(*[np.arange(_DETECT // s)] * 2), -1).reshape(-1, 2) for s in _STRIDES]
    grid = np.concatenate(grids)
    stride = np.concatenate([np.full((len(g), 1), s) for g, s in zip(grids, _STRIDES, strict=True)])
    centre = (output[:, :2] + grid) * stride
    size = np.exp(output[:, 2:4]) * stride
    scores = output[:, 4] * output[:, 5]  # class 0 is a person
    likely = scores > _SCORE
    corners = np.concatenate([centre - size / 2, centre + size / 2], 1)[likely] / ratio
    sized = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(sized.tolist(), scores[likely].tolist(), _SCORE, _OVERLAP)
    return corners[np.asarray(kept, int).reshape(-1)].astype(np.float32)


def posed(session: Any, image: NDArray[np.uint8], box: Floats) -> Person:
    """The 133 points of the person in a box."""
    centre, size = padded(box)
    # An upright crop needs three points: the centre, the top middle, and the left top by symmetry.
    source = np.array([centre, centre - [0, size[1] / 2], centre - size / 2], np.float32)
    target = np.array([[_POSE_W / 2, _POSE_H / 2], [_POSE_W / 2, 0], [0, 0]], np.float32)
    crop = cv2.warpAffine(image, cv2.getAffineTransform(source, target), (_POSE_W, _POSE_H))
    blob = ((crop.astype(np.float32) - _MEAN) / _STD).transpose(2, 0, 1)[None]
    x, y = session.run(None, {session.get_inputs()[0].name: blob})[:2]
    points, scores = decoded(np.asarray(x)[0], np.asarray(y)[0])
    in_picture = points / [_POSE_W, _POSE_H] * size + centre - size / 2
    return Person(in_picture.astype(np.float32), scores)


def padded(box: Floats) -> tuple[Floats, Floats]:
    """Centre and size of a box, 1.25 times larger and in the model's 3:4."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2], np.float32)
    width, height = (box[2] - box[0]) * _BOX_PADDING, (box[3] - box[1]) * _BOX_PADDING
    aspect = _POSE_W / _POSE_H
    if width > height * aspect:
        height = width / aspect
    else:
        width = height * aspect
    return centre, np.array([width, height], np.float32)


def decoded(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """SimCC: each axis is a row of bins, two a pixel; the highest is the point, the lower peak its score."""
    points = np.stack([x.argmax(1), y.argmax(1)], 1).astype(np.float32) / _SIMCC_SPLIT
    return points, np.minimum(x.max(1), y.max(1)).astype(np.float32)


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    return opened(folder / "yolox_l.onnx", device), opened(folder / "dw-ll_ucoco_384.onnx", device)
