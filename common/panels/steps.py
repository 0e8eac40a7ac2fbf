"""The steps of a long panel: parts that open one after another, each summed up in its head while it is closed.

They are opened and closed in the browser (`common/page/steps.js`); what is in a closed one is there all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape

import gradio as gr

TITLES: Mapping[str, str] = {"what": "What to do", "material": "Material", "words": "Words and size"}
"""The steps in their order: key and title."""
NEEDED = "needed"
"""Says of a step that something is still to be given there."""


@contextmanager
def step(page: str, key: str, *, opened: bool = False) -> Iterator[None]:
    """Draws a step of a page's panel around what is drawn inside, with a way on to the next one at its end."""
    keys, body = list(TITLES), f"{page}-{key}-step"
    number = keys.index(key) + 1
    with gr.Column(elem_classes=["step", f"step-{key}", *([] if opened else ["shut"])]):
        gr.HTML(
            f'<button type="button" class="step-head" aria-expanded="{str(opened).lower()}" aria-controls="{body}">'
            f'<span class="number">{number}</span><b>{TITLES[key]}</b><span class="sum"></span></button>'
        )
        with gr.Column(elem_classes="step-body", elem_id=body):
            yield
            if number < len(keys):
                after, title = keys[number], TITLES[keys[number]].lower()
                gr.HTML(f'<button type="button" class="step-next" data-next="{after}">Next: {title}</button>')


def sums(texts: Mapping[str, str]) -> str:
    """What the heads of closed steps say, by key, for the page's script; it goes with the line under Generate."""
    said = "".join(f' data-{key}="{escape(text, quote=True)}"' for key, text in texts.items())
    return f'<template class="sums"{said}></template>'
