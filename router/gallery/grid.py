"""The Gallery's page as HTML: the filters, the grid of what was made, and what was deleted just now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from urllib.parse import quote

from common.contract import MediaHandle
from common.modes.all import MODES
from router.gallery.items import Item
from router.shell import short

SHOWN = 500
"""Results on the page; older ones are in the folder all the same."""
UNDO_SHOWN = 3
TEXT_CHARACTERS = 600


@dataclass(frozen=True)
class Shown:
    """An item with the addresses of its files, as the page may ask for them; empty where there is none."""

    item: Item
    source: str
    picture: str = ""


def address(video: MediaHandle) -> str:
    """Where the page finds a video: its own URL, or this router's file route."""
    return video.url or route(video.path)


def route(path: object) -> str:
    """The address of a file of this app's cache."""
    return "gradio_api/file=" + quote(str(path))


def attribute(text: object) -> str:
    """Any text inside an attribute's double quotes."""
    return escape(str(text), quote=True)


def filters() -> str:
    """One row above the grid; gallery.js fills in the models and does the filtering."""
    chips = "".join(
        f'<button type="button" class="chip" data-filter-mode="{key}" aria-pressed="false">{short(key)}</button>'
        for key in MODES
    )
    return (
        '<div class="filters" role="search" aria-label="Filter results">'
        f'<div class="modes" role="group" aria-label="Mode">{chips}'
        '<button type="button" class="chip" data-filter-star aria-pressed="false">★ Favourites</button>'
        '<span class="count" role="status"></span></div>'
        '<select data-filter="model" aria-label="Model"><option value="">All models</option></select>'
        '<input type="search" data-filter="text" placeholder="Search prompts, seeds" aria-label="Search">'
        '<label>From <input type="date" data-filter="from"></label>'
        '<label>to <input type="date" data-filter="to"></label>'
        '<button type="button" class="plain" data-filter-clear hidden>Clear</button></div>'
    )


def grid(shown: Sequence[Shown], deleted: Sequence[Item] = ()) -> str:
    """What is kept, newest first; the bar of what can be brought back under it."""
    bar = undo_bar(deleted)
    if not shown:
        return (
            '<div class="empty-page"><p>Nothing yet.</p>'
            '<button type="button" class="chip" data-page="t2v">Make a first video</button>'
            f'<p class="dim">or drop videos of a Wan Studio here</p></div>{bar}'
        )
    cells = "".join(_cell(one) for one in shown[:SHOWN])
    more = len(shown) - SHOWN
    rest = f'<p class="dim">{more} older ones are in the folder only.</p>' if more > 0 else ""
    return f'<div class="grid">{cells}</div><p class="none" hidden>Nothing here fits these filters.</p>{rest}{bar}'


def undo_bar(deleted: Sequence[Item]) -> str:
    """What was deleted and can be brought back, the last first."""
    last = sorted(deleted, key=lambda item: -item.deleted)[:UNDO_SHOWN]
    rows = "".join(_deleted(item) for item in last)
    return f'<div class="undo" role="status"><ul>{rows}</ul></div>' if rows else ""


def _deleted(item: Item) -> str:
    button = f'type="button" class="plain" data-key="{item.key}"'
    return (
        f'<li data-key="{item.key}"><span>Deleted <b>{short(item.mode)}</b> {escape(item.prompt[:60])}</span>'
        f'<button {button} data-act="undo">Undo</button>'
        f'<button {button} data-act="dismiss" aria-label="Dismiss">✕</button></li>'
    )


def _cell(shown: Shown) -> str:
    item = shown.item
    mode, prompt = short(item.mode), item.prompt
    seed = str(item.lineage.seed) if item.lineage else ""
    text = " ".join((mode, prompt, item.model, seed))[:TEXT_CHARACTERS].lower()
    when = item.when
    stamp = when.isoformat(timespec="seconds") if when else ""
    again = (
        f'<button type="button" class="plain" data-act="reload" data-again data-key="{item.key}">use again</button>'
        if item.lineage
        else ""
    )
    star = "true" if item.favourite else "false"
    label = attribute(f"Open {mode} {prompt[:60]}")
    return (
        f'<figure data-key="{item.key}" data-mode="{item.mode}" data-model="{attribute(item.model)}" '
        f'data-text="{attribute(text)}" data-when="{stamp}" data-star="{star}">'
        f'<button type="button" class="open" data-act="open" data-key="{item.key}" aria-label="{label}">'
        f'{_picture(shown)}<span class="lost">This file is no longer kept.</span></button>'
        f'<button type="button" class="star" data-act="favourite" data-key="{item.key}" aria-pressed="{star}" '
        f'aria-label="Favourite">{"★" if item.favourite else "☆"}</button>'
        f'<figcaption><b class="badge">{mode}</b> <span class="words">{escape(prompt[:120]) or "&nbsp;"}</span>'
        f'<span class="facts"><span>{escape(item.model)}</span><time datetime="{stamp}">{stamp[:10]}</time></span>'
        f'<span class="row">{again}<label class="pick"><input type="checkbox" data-pick="{item.key}"> compare</label>'
        "</span></figcaption></figure>"
    )


def _picture(shown: Shown) -> str:
    """The first frame; the video itself comes under the pointer, or stands in where there is no picture."""
    source = attribute(shown.source)
    if shown.picture:
        hover = f' data-video="{source}"' if source else ""
        return f'<img src="{attribute(shown.picture)}" alt="" loading="lazy"{hover}>'
    if not source:
        return '<span class="dim">no picture</span>'
    return (
        f'<video src="{source}" muted loop playsinline preload="metadata" tabindex="-1" '
        'onmouseenter="this.play().catch(() => {})" onmouseleave="this.pause()" '
        "onerror=\"this.closest('figure').classList.add('gone')\"></video>"
    )
