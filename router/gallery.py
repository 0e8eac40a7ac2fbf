"""The session's results as a grid: newest first, each with its mode, its prompt and a link to the file."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from common.contract import MediaHandle, ModeKey

LAST = 24


@dataclass(frozen=True)
class Item:
    """One result of this session."""

    mode: ModeKey
    prompt: str
    video: MediaHandle


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
    return f'<div class="grid">{"".join(_cell(i) for i in items)}</div>'


def _cell(item: Item) -> str:
    source = escape(address(item.video), quote=True)
    return (
        f'<figure><video src="{source}" muted loop playsinline preload="metadata" '
        'onmouseenter="this.play()" onmouseleave="this.pause()"></video>'
        f"<figcaption><b>{item.mode.upper()}</b> {escape(item.prompt[:60])} "
        f'<a href="{source}" download target="_blank">save</a></figcaption></figure>'
    )
