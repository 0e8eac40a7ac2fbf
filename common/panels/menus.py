"""A menu whose entries are the page's advice, as bounds are a slider's: they change with the model, in their time."""

from __future__ import annotations

from typing import Any

import gradio as gr

from common.errors import InputError
from common.panels.handles import NoStub


class Menu(gr.Dropdown, metaclass=NoStub):  # type: ignore[misc]
    """gr.Dropdown, which refuses what it does not list before any handler sees it.

    Once the model is another one, so does every event that was on its way, and the page keeps what it said before.
    """

    is_template = True

    def preprocess(self, payload: Any) -> str | None:  # type: ignore[override]
        if payload is not None and not isinstance(payload, str):
            raise InputError(str(self.label), "takes one of its entries")
        return payload

    def get_block_name(self) -> str:
        return "dropdown"

    get_block_class = get_block_name
