"""One panel per mode, drawn by the mode's Space and by the Studio alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.contract import ModeKey
from common.panels.animate import AnimatePanel
from common.panels.base import Panel
from common.panels.flf2v import FLF2VPanel
from common.panels.i2v import I2VPanel
from common.panels.s2v import S2VPanel
from common.panels.t2v import T2VPanel
from common.panels.v2v import V2VPanel
from common.panels.vace import VACEPanel

PANELS: Final[Mapping[ModeKey, type[Panel]]] = {
    "t2v": T2VPanel,
    "i2v": I2VPanel,
    "flf2v": FLF2VPanel,
    "v2v": V2VPanel,
    "vace": VACEPanel,
    "s2v": S2VPanel,
    "animate": AnimatePanel,
}
