"""The pages that are open, each without the copy of the whole page's configuration that Gradio keeps of it.

It serves deep links, which we have none of. It takes 1 MB a page of the Studio, is brought up to date by every event,
and is made of a thousand components when a page sends its first event: a tenth of a second of a core, in which nobody
else is answered.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from gradio import Blocks
from gradio.state_holder import SessionState, StateHolder


class LeanSession(SessionState):
    """What Gradio keeps of an open page, without what describes it."""

    def __init__(self, blocks: Blocks) -> None:
        # Of the app it reads the wiring, which it copies, and which components to describe.
        only: Any = SimpleNamespace(default_config=blocks.default_config, blocks={})
        super().__init__(only)
        config: Any = self.blocks_config
        config.config_for_block = lambda *_: dict[str, Any]()


class _LeanHolder(StateHolder):
    def __getitem__(self, session_id: str) -> SessionState:
        if session_id not in self.session_data:
            self.session_data[session_id] = LeanSession(self.blocks)
        return super().__getitem__(session_id)


def keep_lean(holder: StateHolder, most: int) -> None:
    """Has a started app open its pages so, `most` of them; the longest unused are let go."""
    holder.capacity = most
    holder.__class__ = _LeanHolder
