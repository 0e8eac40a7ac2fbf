"""All modes at once, in the order of the sidebar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.contract import ModeKey
from common.modes import animate, flf2v, i2v, s2v, t2v, v2v, vace
from common.modes.base import Mode

MODES: Final[Mapping[ModeKey, Mode[Any]]] = {
    "t2v": t2v.MODE,
    "i2v": i2v.MODE,
    "flf2v": flf2v.MODE,
    "v2v": v2v.MODE,
    "vace": vace.MODE,
    "s2v": s2v.MODE,
    "animate": animate.MODE,
}
