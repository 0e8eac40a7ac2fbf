"""Puts what a mask keeps back into the frames that were made: the model only repaints it alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from common.annotate.frames import Frame, Frames, array
from common.annotate.masks import as_bool

FEATHER = 1 / 60
"""Of the shorter side: over so much of the kept pixels beside the mask the made ones fade out."""


def put_back(made: Iterable[NDArray[np.uint8]], source: Frames, mask: Frames) -> Iterator[NDArray[np.uint8]]:
    """The made frames [height, width, 3] where a mask is white, the source where it is black.

    Beside the white they are blended, on the side of what is kept: inside, the source has a hole.
    """
    return (_blended(*three) for three in zip(made, source, mask, strict=True))


def _blended(made: NDArray[np.uint8], source: Frame, mask: Frame) -> NDArray[np.uint8]:
    white = as_bool(mask)
    reach = max(round(FEATHER * min(white.shape)), 1) + 1
    away = cv2.distanceTransform((~white).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    share = np.clip(1 - away / reach, 0, 1)[..., None] if white.any() else np.zeros((*white.shape, 1))
    return np.round(share * made + (1 - share) * array(source)).astype(np.uint8)
