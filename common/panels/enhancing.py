"""✨ Enhance beside a prompt: a proposal as a word diff, to accept or dismiss, and the way back."""

from __future__ import annotations

import json
import math
from functools import cache
from html import escape
from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS
from common.enhance import diff, rules
from common.enhance.asked import Ask, Enhanced
from common.enhance.enhancer import Enhancer
from common.enhance.writer import Writer
from common.errors import StudioError
from common.modes.base import Mode
from common.panels import texts
from common.panels.events import QUIET, TOLD
from common.panels.widgets import Inputs
from common.run.runner import Runner, explain

VARIANTS = 1000
IDLE, BUSY = "✨ Enhance", "✨ Enhancing…"
UNDO, REDO = "Undo", "Redo"

_BEGIN = """() => {
    document.querySelector('#%s .proposal-box')?.setAttribute('aria-live', 'polite');
    return %s;
}"""
"""What is read out must be known as such before there is anything to read."""
_ACCEPT = """(now, proposal, other, accepted) => {
    document.querySelector('#%s .prompt textarea')?.focus();
    // An earlier proposal that nobody has touched is no text of anybody: the way back is to what was typed.
    return [proposal, now === accepted && other ? other : now, proposal, ...%s];
}"""
_DISMISS = """() => {
    document.querySelector('#%s .prompt textarea')?.focus();
    return %s;
}"""
_SWAP = f"(now, other, name) => [other, now, name === '{UNDO}' ? '{REDO}' : '{UNDO}']"
"""Undo and Redo change places with what stands there, whatever it is: nothing that was typed is lost."""


@cache
def enhancer() -> Enhancer:
    """The one of this app: all its pages share what a model may cost. InputError for half a configuration."""
    return Enhancer(Writer.from_env())


class Enhancing:
    """The button, the proposal and the way back, drawn below the prompt of one panel; `wire` once all is drawn."""

    def __init__(self, runner: Runner, inputs: Inputs) -> None:
        self.runner, self.inputs = runner, inputs
        self.mode: Mode = runner.mode
        self.enhancer = enhancer()
        self.id = f"{inputs.page}-prompted"
        writer = self.enhancer.writer
        with gr.Row(elem_classes="enhance"):
            self.go = gr.Button(IDLE, size="sm", scale=0, min_width=124, elem_classes="enhance-go")
            self.back = gr.Button(
                UNDO, size="sm", scale=0, min_width=64, visible=False, elem_classes="enhance-back"
            )
        if writer is not None and not writer.here:
            words = f"{IDLE} sends the prompt to {writer.name}; for Wan-Nano it stays here."
            gr.HTML(f'<p class="dim sent">{escape(words)}</p>')
        self.said = gr.HTML("", elem_classes="proposal-box")
        with gr.Row(visible=False, elem_classes="enhance-choice") as self.choice:
            self.accept = gr.Button("Accept", variant="primary", size="sm", scale=0, min_width=96)
            self.dismiss = gr.Button("Dismiss", size="sm", scale=0, min_width=96)
        self.proposed, self.other, self.accepted, self.asked = (gr.Textbox(visible=False) for _ in range(4))
        self.count = gr.Number(0, visible=False)

    def wire(self) -> None:
        """Events; the panel's other inputs are there by now."""
        parts, prompt = self.inputs.components, self.inputs.components["prompt"]
        about = [parts[name] for name in ("checkpoint", "num_frames", "family") if name in parts]
        shown = [self.said, self.choice, self.accept]
        self.go.click(None, None, self.go, js=_BEGIN % (self.id, json.dumps([_button(busy=True)])), **QUIET)
        asking = self.go.click(
            self._propose, [prompt, self.asked, self.count, *about],
            [*shown, self.proposed, self.asked, self.count, self.go], **TOLD,
        )  # fmt: skip
        asking.failure(lambda: _button(busy=False), None, self.go, **QUIET)
        closed = ["", gr.update(visible=False), gr.update(visible=True)]
        self.accept.click(
            None, [prompt, self.proposed, self.other, self.accepted],
            [prompt, self.other, self.accepted, *shown, self.back],
            js=_ACCEPT % (self.id, json.dumps([*closed, gr.update(visible=True, value=UNDO)])), **QUIET,
        )  # fmt: skip
        self.dismiss.click(None, None, shown, js=_DISMISS % (self.id, json.dumps(closed)), **QUIET)
        self.back.click(
            None, [prompt, self.other, self.back], [prompt, self.other, self.back], js=_SWAP, **QUIET
        )

    async def _propose(
        self, request: gr.Request, prompt: str | None, asked: str | None, count: float | None, *about: Any
    ) -> list[Any]:
        prompt = prompt or ""
        variant = _counted(count) + 1 if prompt == asked else 0
        try:
            ask = await self.ask(prompt, *about)
            found = await self.enhancer.enhance(ask, variant, getattr(request, "session_hash", None) or "")
        except Exception as error:
            return [*_shown(_told(self._words(explain(error))), ""), prompt, variant, _button(busy=False)]
        same = found.text.strip() == prompt.strip()
        text = _told(found.note) if same else proposal(prompt.strip(), found)
        return [*_shown(text, "" if same else found.text), prompt, variant, _button(busy=False)]

    async def ask(self, prompt: str, key: Any = None, num_frames: Any = None, family: Any = None) -> Ask:
        """The page's values as what is asked; InputError for a text that no request may have."""
        self.mode.parse({"prompt": prompt})
        key = key if isinstance(key, str) and key in CHECKPOINTS else None
        weights = (await self.runner.manifest(key)).weights
        return Ask(
            prompt, self.mode.key, weights, key or "", still=num_frames == 1,
            family=family if isinstance(family, str) else "",
        )  # fmt: skip

    def _words(self, error: StudioError) -> str:
        return texts.in_words(error.text, {"prompt": self.mode.prompt_label.removesuffix(" (optional)")})


def proposal(before: str, found: Enhanced) -> str:
    """What a proposal changes, who made it, and why it was not who should have, as HTML."""
    by = "By rules" if found.by == rules.BY else f"By {found.by}"
    note = f'<p class="notice">{escape(found.note)}</p>' if found.note else ""
    return (
        f'<div class="proposal" role="group" aria-label="Proposed prompt">{note}'
        f'<p class="diff">{diff.words(before, found.text)}</p><p class="dim">{escape(by)}</p></div>'
    )


def _told(text: str) -> str:
    return f'<div class="proposal"><p>{escape(text)}</p></div>'


def _shown(html: str, text: str) -> list[Any]:
    """The proposal, the buttons below it (without Accept where there is nothing to accept), and its text."""
    return [html, gr.update(visible=True), gr.update(visible=bool(text)), text]


def _button(*, busy: bool) -> Any:
    return gr.update(value=BUSY if busy else IDLE, interactive=not busy)


def _counted(count: object) -> int:
    known = isinstance(count, int | float) and math.isfinite(count)
    return int(count) % VARIANTS if known else 0  # type: ignore[call-overload]
