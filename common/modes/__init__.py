"""All modes at once, in the order of the sidebar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.contract import ModeKey
from common.modes import i2v, t2v
from common.modes.base import Mode

MODES: Final[Mapping[ModeKey, Mode]] = {
    "t2v": t2v.MODE,
    "i2v": i2v.MODE,
}

COMING: Final[Mapping[ModeKey, tuple[str, str]]] = {
    "flf2v": ("⇄", "First-Last-Frame to Video is not built yet"),
    "v2v": ("🎞️", "Video to Video is not built yet"),
    "vace": ("🎛️", "VACE is not built yet"),
    "s2v": ("🔊", "Speech to Video is not built yet"),
    "animate": ("💃", "Animate is not built yet"),
}
"""Modes of the brief that are still to come: icon and the reason shown on their greyed sidebar row."""
