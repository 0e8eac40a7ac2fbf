"""The session's results as a grid: newest first, each with its prompt, its file and a way back to its panel."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from common.contract import Lineage, MediaHandle, ModeKey

LAST = 24

ON_LOAD = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-again]');
    if (button) trigger('click', {index: Number(button.dataset.again)});
});"""
"""Tells the page which item's "use again" was clicked."""


@dataclass(frozen=True)
class Item:
    """One result of this session."""

    mode: ModeKey
    video: MediaHandle
    lineage: Lineage | None

    @property
    def prompt(self) -> str:
        """What it was made from, not what stands in the panel by now."""
        return str(self.lineage.request.get("prompt", "")) if self.lineage else ""


def added(items: list[Item], item: Item) -> list[Item]:
    """The list with `item` in front; the oldest falls out."""
    return [item, *(i for i in items if i.video.path != item.video.path)][:LAST]


def address(video: MediaHandle) -> str:
    """Where the page finds a video: its own URL, or this router's file route."""
    return video.url or "gradio_api/file=" + quote(video.path)


def grid(items: list[Item]) -> str:
    """The page's HTML."""
    if not items:
        return (
            '<div class="empty-page"><p>Nothing yet.</p>'
            '<button type="button" class="chip" data-page="t2v">Make a first video</button></div>'
        )
    return f'<div class="grid">{"".join(_cell(i, item) for i, item in enumerate(items))}</div>'


def _cell(index: int, item: Item) -> str:
    source = escape(address(item.video), quote=True)
    again = f'<button type="button" data-again="{index}">use again</button> ' if item.lineage else ""
    return (
        f'<figure><video src="{source}" muted loop playsinline preload="metadata" '
        'onmouseenter="this.play()" onmouseleave="this.pause()"></video>'
        f"<figcaption><b>{item.mode.upper()}</b> {escape(item.prompt[:60])}<br>"
        f'{again}<a href="{source}" download target="_blank">save</a></figcaption></figure>'
    )
