"""YOLOv10 and ViTPose in small: the same inputs and outputs, with weights that see coloured squares and dots.

The detector's input is RGB. It finds a person in a red square of 160 and in a green one of 320 pixels of its 640,
each in a grid of such squares, and a chair in a blue one of 160. The pose model's input is BGR, normalised with the
means of RGB; it finds four joints, each a dot of its own colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.common.annotate.tiny_onnx import _SEEN, JOINTS, _Graph

ROWS, CHAIR = 300, 56
_MEAN, _STD = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255


def save(folder: Path, batch: int | str = "batch") -> None:
    """Both files where they lie in Wan's repository."""
    checkpoint = folder / "process_checkpoint"
    pose = checkpoint / "pose2d" / "vitpose_h_wholebody.onnx"
    for made in (checkpoint / "det", pose):
        made.mkdir(parents=True)
    onnx.save(_detector(), str(checkpoint / "det" / "yolov10m.onnx"))
    # As in the repository, the weights lie in files of their own beside it.
    onnx.save(
        _poser(batch),
        str(pose / "end2end.onnx"),
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )


def _detector() -> onnx.ModelProto:
    """[1, 3, 640, 640] to [1, 300, 6] rows of left, top, right, bottom, score, class."""
    g = _Graph()
    rows = []
    for side, channel, label in ((160, 0, 0), (320, 1, 0), (160, 2, CHAIR)):
        count = 640 // side
        plane = g.node(
            "Slice", "input", *(g.constant([v], np.int64) for v in (channel, channel + 1)), g.constant([1], np.int64)
        )  # fmt: skip
        share = g.node("AveragePool", plane, kernel_shape=[side, side], strides=[side, side])
        score = g.node("Reshape", share, g.constant([1, count * count, 1], np.int64))
        y, x = np.divmod(np.arange(count * count), count)
        corners = np.stack([x, y, x + 1, y + 1], 1)[None] * side
        classes = np.full((1, count * count, 1), label)
        rows.append(g.node("Concat", g.constant(corners), score, g.constant(classes), axis=2))
    rest = ROWS - 16 - 4 - 16
    g.node("Concat", *rows, g.constant(np.zeros((1, rest, 6))), out="output0", axis=1)
    return g.model("yolov10", [1, 3, 640, 640], {"output0": [1, ROWS, 6]})


def _poser(batch: int | str) -> onnx.ModelProto:
    """[n, 3, 256, 192] to heatmaps [n, 133, 64, 48]."""
    g = _Graph()
    weights, bias = np.zeros((133, 3, 1, 1)), np.full(133, -1.0)
    for joint, colour in JOINTS.items():
        *channels, off = _SEEN[colour]
        # Channel 0 is blue, and comes with red's mean.
        weights[joint, :, 0, 0] = np.array(channels)[::-1] * _STD / 255
        bias[joint] = off + (np.array(channels)[::-1] * _MEAN).sum() / 255
    seen = g.node("Relu", g.node("Conv", "input", g.constant(weights), g.constant(bias)))
    # ViTPose learned that a joint four pixels from the edge is highest in the map's pixel 1.
    small = g.node("AveragePool", seen, kernel_shape=[4, 4], strides=[4, 4], pads=[2, 2, 0, 0])
    bell = np.exp(-0.5 * (np.arange(-5, 6) / 2) ** 2)
    kernel = np.tile(np.outer(bell, bell), (133, 1, 1, 1))
    g.node("Conv", small, g.constant(kernel), out="heatmaps", group=133, pads=[5] * 4)
    shapes: Any = [batch, 3, 256, 192], {"heatmaps": [batch, 133, 64, 48]}
    return g.model("vitpose", *shapes)
