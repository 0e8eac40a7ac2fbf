"""Send to: one menu for the whole page, grouped by mode, and the one event that hands a result over."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from typing import Any

import gradio as gr

from common.contract import MediaHandle, ModeKey
from common.modes.all import MODES
from common.panels.base import Panel, told
from common.panels.events import TOLD
from router import chaining
from router.icons import icon
from router.shell import short

MENU = "send-menu"

ON_LOAD = """element.addEventListener('click', (event) => {
    const item = event.target.closest('[data-send]');
    if (item) trigger('click', {value: window.wanSend.take(item)});
});"""
"""Tells the server which meaning was chosen; `sending.js` knows of which result, and opens the target's page."""

BUTTON = (
    f'<button type="button" class="send" popovertarget="{MENU}" aria-haspopup="menu">Send to'
    '<svg viewBox="0 0 12 12" width="10" height="10" aria-hidden="true"><path d="M2 4.5l4 4 4-4" fill="none" '
    'stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round"/></svg></button>'
)
"""Opens the menu. The style sheet shows it once its panel has a video, and keeps its place before."""


class Sending:
    """Draws the menu and wires it. `panels` are all of the page, in the order of the sidebar."""

    def __init__(self, panels: Mapping[ModeKey, Panel]) -> None:
        self.panels = panels
        self.known = {meaning.key: meaning for meaning in chaining.every()}

    def draw(self) -> None:
        """A button under every result, and the menu that all of them open."""
        for panel in self.panels.values():
            with panel.below:
                gr.HTML(BUTTON, elem_classes="send-box")
        menu = gr.HTML(_menu(), js_on_load=ON_LOAD, elem_classes="send-menu-box")
        head = gr.Number(0, visible=False)  # where the video stands, in seconds
        videos = [panel.video for panel in self.panels.values()]
        # One for all: an event for each meaning under each result was a third of the page's events.
        menu.click(
            self.send, [*videos, head], self.outputs, trigger_mode="multiple",
            js=f"(...now) => window.wanSend.pick({json.dumps(list(self.panels))}, now)", **TOLD,
        )  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """Every component that some meaning sets."""
        known = ((self.panels[m.target], name) for m in self.known.values() for name in chaining.inputs_of(m))
        return list(dict.fromkeys(panel.inputs.components[name] for panel, name in known))

    def send(self, event: gr.EventData, *now: Any) -> dict[Any, Any]:
        """Updates by component for the meaning that the menu's event names; gr.Error where there is no result."""
        *videos, head = now
        key = told(event, "value")
        meaning = self.known.get(key) if isinstance(key, str) else None
        video = next((video for video in videos if video is not None), None)
        if meaning is None or video is None:
            raise gr.Error("Generate a video first; then it can be sent on.", title="Nothing to send")
        return self.updates(meaning, video, head)

    def updates(
        self, meaning: chaining.Meaning, video: MediaHandle, playhead: float | None
    ) -> dict[Any, Any]:
        """Updates by component that hand a video over; a playhead that is none counts as the beginning."""
        known = playhead is not None and math.isfinite(playhead) and playhead > 0
        values = chaining.values_of(meaning, video, playhead if known and playhead else 0.0)
        parts = self.panels[meaning.target].inputs.components
        return {parts[n]: v for n, v in zip(chaining.inputs_of(meaning), values, strict=True)}


def _menu() -> str:
    """The menu's HTML; what leads nowhere from a mode is hidden on its page by the style in it."""
    groups = [_group(key, own) for key in MODES if (own := [m for m in chaining.every() if m.target == key])]
    hide = "".join(
        f'body[data-page="{m.not_from}"] [data-send="{m.key}"] {{ display: none !important; }}'
        for m in chaining.every()
        if m.not_from
    )
    return (
        f'<style>{hide}</style><div popover id="{MENU}" class="send-menu" role="menu" aria-label="Send to">'
        f'<div role="presentation" class="send-groups">{"".join(groups)}</div></div>'
    )


def _group(target: ModeKey, group: list[chaining.Meaning]) -> str:
    name = MODES[target].title
    more = f"<small>{escape(name)}</small>" if name != short(target) else ""
    items = "".join(
        f'<button type="button" role="menuitem" data-send="{m.key}" data-target="{target}">'
        f"{escape(m.label[0].upper() + m.label[1:])}</button>"
        for m in group
    )
    return (
        f'<div role="group" class="send-group" aria-label="{escape(name, quote=True)}">'
        f'<div class="send-name" aria-hidden="true">{icon(target)}<b>{escape(short(target))}</b>{more}</div>'
        f"{items}</div>"
    )
