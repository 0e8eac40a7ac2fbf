"""A video of ours dropped into the Studio is read, to refill the panel that made it."""

from __future__ import annotations

from pathlib import Path

from common.catalog import CHECKPOINTS
from common.contract import Lineage
from common.errors import MediaError
from common.media.lineage import read_lineage
from common.modes.all import MODES


def lineage_of(path: str) -> Lineage:
    """The lineage of a dropped file; MediaError when it is none of ours, or of a mode that is not here."""
    lineage = read_lineage(Path(path))
    if lineage is None:
        raise MediaError("video", "was not made by Wan Studio, so there is nothing to restore")
    mode = MODES.get(lineage.plan.mode)
    if mode is None or not mode.rows([lineage.plan.checkpoint]):
        raise MediaError("video", f"was made by {lineage.plan.mode}, which this Studio does not have")
    return lineage


def generation_of(lineage: Lineage) -> str:
    """The generation that the header must show."""
    return CHECKPOINTS[lineage.plan.checkpoint].generation
