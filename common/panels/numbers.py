"""Sliders and number fields whose bounds are the page's advice: what a mode's rules say is the one refusal."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from common.errors import InputError
from common.panels.handles import NoStub


class _Ruled:
    """Mixed in before a stock component, whose name it keeps.

    Gradio refuses a value out of bounds before any handler sees it: with a toast, in words that name no input, and
    after the page has drawn itself busy.
    """

    is_template = True
    label: str | None
    precision: int | None

    def preprocess(self, payload: Any) -> float | int | None:
        if payload is None:
            return None
        if isinstance(payload, bool) or not isinstance(payload, int | float) or not math.isfinite(payload):
            raise InputError(str(self.label), "takes a number")
        return gr.Number.round_to_precision(payload, self.precision)


class Slider(_Ruled, gr.Slider, metaclass=NoStub):  # type: ignore[misc]
    """gr.Slider."""

    def get_block_name(self) -> str:
        return "slider"

    get_block_class = get_block_name


class Number(_Ruled, gr.Number, metaclass=NoStub):  # type: ignore[misc]
    """gr.Number."""

    def get_block_name(self) -> str:
        return "number"

    get_block_class = get_block_name
