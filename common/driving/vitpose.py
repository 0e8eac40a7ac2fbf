"""Finds the performer as Wan-Animate's authors do: a box by YOLOv10, points by ViTPose-H, the outline by SAM 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate import models
from common.annotate.frames import BLACK, Check, Frame, Frames, array, solid, watched
from common.annotate.keypoints import Floats, Person, padded
from common.annotate.models import loaded
from common.annotate.pose import THRESHOLD, body_joints
from common.annotate.sessions import opened
from common.annotate.track import track_points
from common.driving.following import SEVERAL, Box, Following, areas, bounds
from common.driving.makers import BodyMaker, Means

INSTEAD = "use the preprocessor `opencv`, or give pose_video and face_video of your own"

_DETECT = 640
_CONFIDENCE, _OVERLAP = 0.05, 0.5
_CERTAIN = 0.5
_PERSON = 0
_SMALLEST = 10
_POSE_W, _POSE_H = 192, 256
_MEAN = np.array([0.485, 0.456, 0.406], np.float32) * 255
_STD = np.array([0.229, 0.224, 0.225], np.float32) * 255
_BLUR = 11  # of the heatmaps' own sigma, 2
_BATCH = 8
_SECOND = 0.1
"""From this part of the performer's area on, somebody else is more than a passer-by."""
_BODY = slice(0, 17)

KEY_FRAMES = 4
_CLICKS = [0, 1, 2, 5, 8, 11, 10, 13]  # nose, neck, shoulders, hips, ankles of OpenPose


class VitPose(BodyMaker):
    """Wan's own models, through onnxruntime and transformers."""

    def __init__(self, means: Means) -> None:
        super().__init__()
        self._means = means
        self._folder = self._model("vitpose")

    def see(self, frames: Sequence[Frame], check: Check, after: Person | None = None) -> list[Person | None]:
        """Bodies, a batch at a time: the largest at first, or who was seen in the frame before these."""
        detector, poser = loaded(_load, self._folder, self._means.device)
        following = Following(bounds(after))
        bodies: list[Person | None] = []
        waiting: list[tuple[NDArray[np.uint8], Box]] = []
        for frame in watched(frames, check):
            image = array(frame)
            boxes, scores = detected(detector, image)
            index = following.choose(boxes)
            if index is not None and _others(boxes, scores, index):
                self.note(SEVERAL)
            # Who is not found may still be there, where they were; nobody else's limbs are looked at for theirs.
            whole = np.array([0, 0, frame.width, frame.height], np.float32)
            waiting.append((image, whole if following.last is None else following.last))
            if len(waiting) == _BATCH:
                bodies += _seen(posed(poser, waiting))
                waiting.clear()
        return bodies + _seen(posed(poser, waiting))

    def shapes(self, frames: Sequence[Frame], bodies: Sequence[Person | None], check: Check) -> Frames:
        """SAM 2's masks of what the joints of some frames lie on."""
        empty = [solid(BLACK, *frame.size) for frame in frames]
        clicks = key_clicks(bodies, frames[0].size) if frames else {}
        if not clicks:
            return empty
        found = track_points(list(frames), clicks, self._model("sam2"), self._means.device, check)
        return [
            black if body is None else mask for mask, body, black in zip(found, bodies, empty, strict=True)
        ]

    def _model(self, key: str) -> Path:
        return models.find(key, download=self._means.download, say=self._means.say, instead=INSTEAD)


def detected(session: Any, image: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Boxes of people [n, 4] in the picture's pixels, and how certain each is."""
    # Upstream swaps the channels of its RGB frames twice before this model: it sees RGB.
    small = cv2.resize(image, (_DETECT, _DETECT)).astype(np.float32) / 255
    blob = small.transpose(2, 0, 1)[None]
    rows = np.asarray(session.run(None, {session.get_inputs()[0].name: blob})[0])[0]
    return people(rows, (image.shape[1], image.shape[0]))


def people(rows: Floats, size: tuple[int, int]) -> tuple[Floats, Floats]:
    """YOLOv10's rows (left, top, right, bottom, score, class) as boxes in a picture of `size`, with their scores."""
    rows = rows[(rows[:, 4] >= _CONFIDENCE) & (rows[:, 5] == _PERSON)]
    boxes = (rows[:, :4] * np.tile(np.array(size, np.float32) / _DETECT, 2)).astype(np.float32)
    sized = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
    kept = cv2.dnn.NMSBoxes(sized.tolist(), rows[:, 4].tolist(), 0, _OVERLAP)
    kept = np.asarray(kept, int).reshape(-1)
    return boxes[kept], rows[kept, 4]


def _others(boxes: Floats, scores: Floats, index: int) -> bool:
    large = areas(boxes) > _SECOND * areas(boxes)[index]
    return int(np.sum(large & (scores >= _CERTAIN))) > 1


def posed(session: Any, wanted: Sequence[tuple[NDArray[np.uint8], Box]]) -> list[Person]:
    """The 133 points of whoever is in the box of each picture."""
    if not wanted:
        return []
    places, crops = [], []
    for image, box in wanted:
        if min(box[2] - box[0], box[3] - box[1]) < _SMALLEST:
            box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
        places.append(padded(box))
        crops.append(_cropped(image, *places[-1]))
    model_input = session.get_inputs()[0]
    at_once = model_input.shape[0] if isinstance(model_input.shape[0], int) else len(crops)
    maps = [
        np.asarray(session.run(None, {model_input.name: np.stack(crops[i : i + at_once])})[0])
        for i in range(0, len(crops), at_once)
    ]
    points, scores = decoded(np.concatenate(maps))
    scale = np.array([maps[0].shape[3], maps[0].shape[2]], np.float32)
    return [
        Person((p / scale * size + centre - size / 2).astype(np.float32), s)
        for p, s, (centre, size) in zip(points, scores, places, strict=True)
    ]


def _cropped(image: NDArray[np.uint8], centre: Floats, size: Floats) -> Floats:
    """What the model is given of a place in a picture: normalised, channels first."""
    zoom = np.array([_POSE_W, _POSE_H], np.float32) / size
    # Pixels are squares: the middle of the first of the crop lies half a pixel of the crop inside its edge.
    shift = (0.5 - (centre - size / 2)) * zoom - 0.5
    turned = np.array([[zoom[0], 0, shift[0]], [0, zoom[1], shift[1]]], np.float32)
    crop = cv2.warpAffine(image, turned, (_POSE_W, _POSE_H)).astype(np.float32)
    # Upstream swaps the channels of its RGB frames once before this model, and not the means: it sees BGR.
    return ((crop[..., ::-1] - _MEAN) / _STD).transpose(2, 0, 1)


def decoded(heatmaps: Floats) -> tuple[Floats, Floats]:
    """Heatmaps [n, k, h, w] as points [n, k, 2] in their pixels, and their highest values as scores [n, k].

    DARK (Zhang et al. 2020): the logarithm of a smoothed peak is a parabola, whose top lies between the pixels.
    """
    count, joints, height, width = heatmaps.shape
    flat = heatmaps.reshape(count * joints, height, width).astype(np.float32)
    top = flat.reshape(len(flat), -1).argmax(1)
    scores = flat.reshape(len(flat), -1).max(1)
    y, x = np.divmod(top, width)
    points = np.stack([x, y], 1).astype(np.float32)
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2) & (scores > 0)
    for i in np.flatnonzero(inside):
        points[i] += _summit(flat[i], int(x[i]), int(y[i]))
    return points.reshape(count, joints, 2), scores.reshape(count, joints)


def _summit(heatmap: Floats, x: int, y: int) -> Floats:
    """How far beside its highest pixel a peak is highest."""
    smooth = cv2.GaussianBlur(heatmap, (_BLUR, _BLUR), 0, borderType=cv2.BORDER_CONSTANT)
    log = np.log(np.maximum(smooth[y - 2 : y + 3, x - 2 : x + 3], 1e-10))
    slope = np.array([log[2, 3] - log[2, 1], log[3, 2] - log[1, 2]]) / 2
    xx = (log[2, 4] - 2 * log[2, 2] + log[2, 0]) / 4
    yy = (log[4, 2] - 2 * log[2, 2] + log[0, 2]) / 4
    xy = (log[3, 3] - log[1, 3] - log[3, 1] + log[1, 1]) / 4
    if xx * yy - xy * xy == 0:
        return np.zeros(2, np.float32)
    return -np.linalg.solve(np.array([[xx, xy], [xy, yy]]), slope).astype(np.float32)


def key_clicks(bodies: Sequence[Person | None], size: tuple[int, int]) -> dict[int, list[list[float]]]:
    """Where the joints of some frames lie, by the frame's number: what SAM 2 is shown of the performer."""
    parts = KEY_FRAMES if len(bodies) > KEY_FRAMES else 1
    step = len(bodies) // parts
    clicks: dict[int, list[list[float]]] = {}
    for part in range(parts):
        # The first of its part in which the performer is there.
        for number in range(part * step, len(bodies) if part == parts - 1 else (part + 1) * step):
            if points := _joints(bodies[number], size):
                clicks[number] = points
                break
    return clicks


def _joints(body: Person | None, size: tuple[int, int]) -> list[list[float]]:
    if body is None:
        return []
    points, seen = body_joints(body)
    inside = np.all((points >= 0) & (points < np.array(size)), axis=1)
    return [points[i].tolist() for i in _CLICKS if seen[i] and inside[i]]


def _seen(bodies: Sequence[Person]) -> list[Person | None]:
    return [body if (body.scores[_BODY] > THRESHOLD).any() else None for body in bodies]


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    checkpoint = folder / "process_checkpoint"
    return (
        opened(checkpoint / "det" / "yolov10m.onnx", device),
        opened(checkpoint / "pose2d" / "vitpose_h_wholebody.onnx" / "end2end.onnx", device),
    )
