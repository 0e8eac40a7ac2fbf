"""Composition: two controls in one, where the second fills what the first leaves open."""

from __future__ import annotations

import numpy as np

from common.annotate.frames import Control, Frame, array, picture
from common.annotate.masks import as_bool


def composed(first: Control, second: Control) -> Control:
    """video = v2·m1 + v1·(1−m1), mask = m1·m2: what the first keeps stays, the second rules the rest."""
    return Control(
        [_video(a, b, m) for a, b, m in zip(first.video, second.video, first.mask, strict=True)],
        [_mask(m, n) for m, n in zip(first.mask, second.mask, strict=True)],
        [*first.references, *second.references],
        [*first.notices, *second.notices],
    )


def _video(first: Frame, second: Frame, mask: Frame) -> Frame:
    return picture(np.where(as_bool(mask)[..., None], array(second), array(first)))


def _mask(first: Frame, second: Frame) -> Frame:
    return picture((as_bool(first) & as_bool(second)) * 255)
