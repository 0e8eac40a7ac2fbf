"""The frame of the Studio: sidebar and header, with the style and the script that switch pages."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from common.modes.all import MODES
from common.page import theme
from router import gating
from router.health import Watcher
from router.icons import icon

EXTRA_PAGES = {"queue": "Queue", "gallery": "Gallery", "settings": "Settings"}
STYLES = ("shell.css", "batches.css", "gallery/gallery.css", "settings/settings.css")
SCRIPTS = ("shell.js", "sending.js", "batches.js", "gallery/gallery.js")


def page_options() -> dict[str, Any]:
    """`common.page.theme.page_options` with the Studio's own style and script."""
    options = theme.page_options()
    here = Path(__file__).parent
    css = "\n".join((here / name).read_text("utf-8") for name in STYLES)
    scripts = [(here / name).read_text("utf-8") for name in SCRIPTS]
    pages = (*MODES, *EXTRA_PAGES)
    hide = "".join(f'body:not([data-page="{p}"]) .page-{p} {{ display: none !important; }}\n' for p in pages)
    # Gradio prefixes every rule of `css`: those outweigh its own, but ones about body break, hence the head.
    ours = "".join(f"<script>{script}</script>" for script in scripts)
    head = f"{options['head']}<style>{hide}</style>{ours}"
    # The Studio has no API of its own: its Settings page leads to each mode's.
    return options | {"css": options["css"] + css, "head": head, "footer_links": ["settings"]}


NAV_ON_LOAD = """element.addEventListener('click', (event) => {
    if (!event.target.closest('[data-page]')) return;
    window.wanStudio.clicked = true;
    setTimeout(() => trigger('click'));  // once the page itself has been switched
});
trigger('click');"""
"""Tells the server that a page is open: the header's generation menu is that mode's, and who sleeps is woken."""

HERE = "(page, clicked, wish) => [document.body.dataset.page, Boolean(window.wanStudio.clicked), wish]"


def nav(wish: str, watcher: Watcher) -> str:
    """The sidebar's rows. A mode that cannot be used, or not as wished, stands greyed, its reason under its name."""
    rows: list[str] = []
    keys = iter("123456789")
    for key, mode in MODES.items():
        name = mode.title if mode.title != short(key) else ""
        # One that is down stays open to look at.
        rows.append(_row(key, short(key), name, gating.reason(key, wish, watcher), next(keys, "")))
    rows.append('<hr class="nav-line">')
    rows += [_row(page, name, "", "", next(keys, "")) for page, name in EXTRA_PAGES.items()]
    return f'<nav class="nav" aria-label="Modes">{"".join(rows)}</nav>'


def short(key: str) -> str:
    """A mode's name where there is little room."""
    return {"animate": "Animate"}.get(key, key.upper())


def _row(page: str, name: str, title: str, why: str, key: str) -> str:
    below = why or title
    tip = f"{title}: {why}" if title and why and not why.startswith(title) else below
    pressed, shown = (f' aria-keyshortcuts="{key}"', f"<kbd>{key}</kbd>") if key else ("", "")
    return (
        f'<button type="button" class="row{" off" if why else ""}" data-page="{page}" '
        f'title="{escape(tip, quote=True)}"{pressed}>'
        f'{icon(page)}<span class="names"><b>{escape(name)}</b>'
        f"<small>{escape(below)}</small></span>{shown}</button>"
    )


def brand() -> str:
    """The name of the app, left in the header."""
    return '<h1 class="brand"><span class="dot"></span>Wan Studio</h1>'


def header_links() -> str:
    """Gallery and Settings, right in the header."""
    links = (
        f'<button type="button" data-page="{page}" aria-label="{name}">'
        f'{icon(page)}<span class="name">{name}</span></button>'
        for page, name in EXTRA_PAGES.items()
    )
    return f'<div class="links">{"".join(links)}</div>'
