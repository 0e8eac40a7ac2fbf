"""The four makers as one table: each is loaded when it is asked for, as of their packages few are everywhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from common.driving.maker import Maker, Means


def vitpose(means: Means) -> Maker:
    """Wan's own: YOLOv10, ViTPose-H and SAM 2."""
    from common.driving.vitpose import VitPose

    return VitPose(means)


def mediapipe(means: Means) -> Maker:
    """MediaPipe's face models, small and on the CPU."""
    from common.driving.mediapipe import MediaPipe

    return MediaPipe(means)


def opencv(means: Means) -> Maker:
    """OpenCV's classical detectors: no download."""
    from common.driving.opencv import OpenCV

    return OpenCV(means)


def nano(means: Means) -> Maker:
    """The tracker of nano's world."""
    from common.driving.nano import Nano

    return Nano(means)


MAKERS: Final[Mapping[str, Callable[[Means], Maker]]] = {
    "vitpose": vitpose,
    "mediapipe": mediapipe,
    "opencv": opencv,
    "nano": nano,
}
