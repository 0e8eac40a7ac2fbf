"""The Settings page, drawn and wired: what it shows follows the modes, what it changes is its visitor's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from common.contract import ModeKey
from common.errors import StudioError
from common.panels.base import Panel, told
from common.panels.events import EACH
from router import wishes
from router.dispatch import FederatedRunner, Studio
from router.gallery.browser import read
from router.settings.about import about
from router.settings.acting import OF_A_MODEL, Acting
from router.settings.caches import caches
from router.settings.defaults import Defaults
from router.settings.fits import fits
from router.settings.models import active, loras, on_disk
from router.settings.presets import Presets
from router.settings.tables import size

ON_LOAD = """const name = (target) => target?.closest?.('[data-do]');
const same = (one) => one.dataset.key ?? one.dataset.do;
let last = '';
element.addEventListener('click', (event) => {
    const button = name(event.target);
    if (!button || (button.dataset.sure && !confirm(button.dataset.sure))) return;
    trigger('click', {act: button.dataset.do, mode: button.dataset.mode ?? '', key: button.dataset.key ?? ''});
});
element.addEventListener('focusin', (event) => { last = name(event.target) ? same(name(event.target)) : ''; });
element.addEventListener('focusout', (event) => { if (event.relatedTarget) last = ''; });
new MutationObserver(() => {
    if (!last || document.activeElement !== document.body) return;
    [...element.querySelectorAll('[data-do]')].find((one) => same(one) === last)?.focus();
}).observe(element, {childList: true, subtree: true});"""
"""Tells what is to be done, once somebody is sure; the keyboard stays at its model where the table is drawn anew."""

WITH_BUTTONS = ("models", "caches")


class SettingsPage:
    """Sections from top to bottom; those with buttons have them on a personal Studio alone."""

    def __init__(
        self, studio: Studio, panels: Mapping[ModeKey, Panel], stored: gr.BrowserState, folder: Path | None
    ) -> None:
        self.studio = studio
        self.defaults = Defaults(stored, folder if studio.personal else None)
        self.presets = Presets(self.defaults, panels, lambda mode: FederatedRunner(mode, studio).known())
        self.acting = Acting(studio)
        watcher, acting = studio.watcher, self.acting
        self._parts: dict[str, Callable[[], str]] = {
            "active": lambda: active(watcher),
            "models": lambda: on_disk(watcher, acting),
            "loras": lambda: loras(watcher),
            "caches": lambda: caches(watcher, acting),
            "fits": lambda: fits(watcher, panels),
            "about": lambda: about(watcher, studio.traffic),
        }
        self.shown: dict[str, Any] = {}

    def draw(self) -> None:
        """Everything, as far as it is known."""
        gr.HTML("<h2>Settings</h2><p>What this Studio is made of</p>", elem_classes="heading")
        self.said = gr.HTML("", elem_id="settings-said")
        self._draw("active", "loras")
        self.presets.draw()
        self._draw("models", "caches", "fits")
        gr.HTML(wishes.FORM, js_on_load=wishes.ON_LOAD)
        self._draw("about")

    def _draw(self, *names: str) -> None:
        for name in names:
            html = self._parts[name]()
            if self.studio.personal and name in WITH_BUTTONS:
                self.shown[name] = gr.HTML(html, elem_id=f"settings-{name}", js_on_load=ON_LOAD)
            else:
                self.shown[name] = gr.HTML(html, elem_id=f"settings-{name}")

    def wire(self, results: gr.BrowserState) -> None:
        """Events. A hosted Studio has none that changes more than what its visitor's own browser keeps."""
        self.presets.wire()
        if not self.studio.personal:
            return
        for name in WITH_BUTTONS:
            self.shown[name].click(self._act, results, [self.said, *self.shown.values()], **EACH)

    def tick(self, seen: Mapping[str, str]) -> tuple[dict[str, str], list[Any]]:
        """What has changed since `seen`, and what to send of it, in the order of `shown`."""
        if self.studio.personal:
            self.acting.poll()
        now = {name: self._parts[name]() for name in self.shown}
        marks = {name: str(hash(text)) for name, text in now.items()}
        return marks, [gr.skip() if seen.get(n) == marks[n] else text for n, text in now.items()]

    async def _act(self, results: object, event: gr.EventData) -> list[Any]:
        action, key = told(event, "act"), told(event, "key")
        shown = [item.video.path for item in read(results) if not item.video.url]
        try:
            freed = await self.acting.act(action, told(event, "mode"), key, shown)
            said = _done(str(action), freed)
        except StudioError as error:
            said = f'<p class="notice" role="alert"><b>{escape(error.title)}:</b> {escape(error.text)}</p>'
        return [said, *(self._parts[name]() for name in self.shown)]


def _done(action: str, freed: int) -> str:
    words = {
        "download": "The download goes on by itself; this page may be closed.",
        "download_again": "The download goes on by itself; this page may be closed.",
        "cancel": "The download was stopped; what is whole stays.",
        "unload": "Nothing is in memory now.",
    }
    text = words.get(action) or f"{size(freed)} freed."
    kind = "deleted" if action in OF_A_MODEL else "done"
    return f'<p class="line {kind}" role="status">{escape(text)}</p>'
