"""Brightness alone: the model invents the colours."""

from __future__ import annotations

import cv2

from common.annotate.frames import Check, Frames, array, picture, unchecked, watched


def gray(frames: Frames, check: Check = unchecked) -> Frames:
    """Luma (0.299 R + 0.587 G + 0.114 B) on all three channels."""
    return [picture(cv2.cvtColor(array(f), cv2.COLOR_RGB2GRAY)) for f in watched(frames, check)]
