"""A browser's results as a grid: newest first, each with its prompt, its file and a way back to its panel."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from common.contract import Lineage, MediaHandle, ModeKey, Model
from router.shell import short

LAST = 24

ON_LOAD = """element.addEventListener('click', (event) => {
    const button = event.target.closest('[data-again]');
    if (button) trigger('click', {index: Number(button.dataset.again)});
});"""
"""Tells the page which item's "use again" was clicked."""


class Item(Model):
    """One result."""

    mode: ModeKey
    video: MediaHandle
    lineage: Lineage | None = None

    @property
    def prompt(self) -> str:
        """What it was made from, not what stands in the panel by now."""
        return str(self.lineage.request.get("prompt", "")) if self.lineage else ""


_ITEMS = TypeAdapter(list[Item])


def written(items: list[Item]) -> str:
    """The list as a browser keeps it."""
    return _ITEMS.dump_json(items, exclude_none=True).decode()


def read(kept: object) -> list[Item]:
    """The list that a browser has kept; empty where another version, or somebody else, has written it."""
    try:
        return _ITEMS.validate_json(kept)[:LAST] if isinstance(kept, str) and kept else []
    except ValidationError:
        return []


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
        'onmouseenter="this.play()" onmouseleave="this.pause()" '
        "onerror=\"this.closest('figure').classList.add('gone')\"></video>"
        '<p class="lost">This file is no longer kept.</p>'
        f"<figcaption><b>{short(item.mode)}</b> {escape(item.prompt[:60])}<br>"
        f'{again}<a href="{source}" download target="_blank">save</a></figcaption></figure>'
    )
