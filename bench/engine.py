"""Text to Video as its Space runs it, for measurements: a Space's app.py cannot be imported as a module."""

from __future__ import annotations

from typing import Any

from common.contract import Plan
from common.modes.t2v import MODE, Request
from common.runtime.engine import Engine
from common.runtime.reader import Reader


class T2V(Engine[Request]):
    """From text alone."""

    mode = MODE
    pipeline = "WanPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """Text is all that there is."""
        return {}
