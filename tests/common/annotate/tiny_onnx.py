"""DWPose's two ONNX files in small: the same inputs and outputs, with weights that see coloured squares and dots.

The detector finds a person in a red square of 80 pixels and in a green one of 160, centred in a cell of strides 8
and 16, and a thing that is no person in a blue one of 320, centred in a cell of stride 32. The pose model finds
four joints, each a dot of its own colour.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

JOINTS = {0: "yellow", 5: "magenta", 6: "white", 7: "cyan"}
_SEEN = {  # weights of R, G, B in 0..1, and what to take off: 1 at the colour, at most 0 at all the others
    "yellow": (1, 1, -1, -1), "magenta": (1, -1, 1, -1), "white": (1, 1, 1, -2), "cyan": (-1, 1, 1, -1),
}  # fmt: skip
_MEAN, _STD = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
_REACH = 10


def save(folder: Path, blue_label: int = 1) -> None:
    """Both files, under the names that DWPose has. Label 0 is a person."""
    folder.mkdir()
    onnx.save(_detector(blue_label), str(folder / "yolox_l.onnx"))
    onnx.save(_poser(), str(folder / "dw-ll_ucoco_384.onnx"))


class _Graph:
    """Nodes and constants as they are made; each node's output has its own name."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        name = out or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def model(self, name: str, shape: list[int], outputs: dict[str, list[int]]) -> onnx.ModelProto:
        def values(shapes: dict[str, list[int]]) -> list[Any]:
            return [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s) for n, s in shapes.items()]

        graph = helper.make_graph(self.nodes, name, values({"input": shape}), values(outputs), self.constants)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
        onnx.checker.check_model(made)
        return made


def _detector(blue_label: int) -> onnx.ModelProto:
    """YOLOX: [1, 3, 640, 640] of BGR to [1, 8400, 85] rows, cell by cell at strides 8, 16, 32."""
    g = _Graph()
    rows = []
    for stride, channel, label in ((8, 2, 0), (16, 1, 0), (32, 0, blue_label)):
        side, cells = 10 * stride, 640 // stride
        plane = g.node(
            "Slice", "input", *(g.constant([v], np.int64) for v in (channel, channel + 1)), g.constant([1], np.int64)
        )  # fmt: skip
        share = g.node(
            "AveragePool", plane, kernel_shape=[side, side], strides=[stride, stride],
            pads=[(side - stride) // 2] * 4, count_include_pad=1,
        )  # fmt: skip
        # A window of which under nine tenths are of the colour is nothing, so one cell alone sees the square.
        sharp = g.node("Relu", g.node("Sub", g.node("Mul", share, g.constant(10 / 255)), g.constant(9)))
        score = g.node("Reshape", sharp, g.constant([1, cells * cells, 1], np.int64))
        before = np.tile(np.array([0.5, 0.5, np.log(10), np.log(10)]), (1, cells * cells, 1))
        classes = np.zeros((1, cells * cells, 80))
        classes[..., label] = 1
        rows.append(g.node("Concat", g.constant(before), score, g.constant(classes), axis=2))
    g.node("Concat", *rows, out="output", axis=1)
    return g.model("yolox", [1, 3, 640, 640], {"output": [1, 8400, 85]})


def _poser() -> onnx.ModelProto:
    """RTMPose: [1, 3, 384, 288], normalised RGB, to SimCC rows of two bins a pixel for 133 points."""
    g = _Graph()
    weights, bias = np.zeros((133, 3, 1, 1)), np.full(133, -1.0)
    for joint, colour in JOINTS.items():
        *channels, off = _SEEN[colour]
        weights[joint, :, 0, 0] = np.array(channels) * _STD / 255
        bias[joint] = off + (np.array(channels) * _MEAN).sum() / 255
    seen = g.node("Relu", g.node("Conv", "input", g.constant(weights), g.constant(bias)))
    near = 1 - np.abs(np.arange(-_REACH, _REACH + 1)) / _REACH  # highest over the middle of a dot
    kernel = g.constant(np.tile(near / near.sum(), (133, 1, 1)))
    for name, axis in (("simcc_x", 2), ("simcc_y", 3)):
        profile = g.node("ReduceMax", seen, axes=[axis], keepdims=0)
        peak = g.node("Conv", profile, kernel, group=133, pads=[_REACH, _REACH])
        bins = g.constant([1.0, 1.0, 2.0])
        g.node("Resize", peak, "", bins, out=name, mode="nearest", nearest_mode="floor",
               coordinate_transformation_mode="asymmetric")  # fmt: skip
    return g.model("rtmpose", [1, 3, 384, 288], {"simcc_x": [1, 133, 576], "simcc_y": [1, 133, 768]})
