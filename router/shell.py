"""The frame of the Studio: sidebar and header, with the style and the script that switch pages."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, cast, get_args

from common import theme
from common.contract import ModeKey
from common.modes import MODES
from router import gating
from router.health import Watcher
from router.icons import icon

EXTRA_PAGES = {"gallery": "Gallery", "settings": "Settings"}

WAKE_ON_CLICK = """element.addEventListener('click', (event) => {
    const row = event.target.closest('.row.off[data-page]');
    if (row) trigger('click', {page: row.dataset.page});
});"""
"""Tells the page that a row was chosen whose mode cannot be used just now: it may only be asleep."""


def page_options() -> dict[str, Any]:
    """`common.theme.page_options` with the Studio's own style and script."""
    options = theme.page_options()
    css, script = (Path(__file__).with_name(name).read_text("utf-8") for name in ("shell.css", "shell.js"))
    pages = (*get_args(ModeKey), *EXTRA_PAGES)
    hide = "".join(f'body:not([data-page="{p}"]) .page-{p} {{ display: none !important; }}\n' for p in pages)
    # Gradio prefixes every rule of `css`: those outweigh its own, but ones about body break, hence the head.
    head = f"{options['head']}<style>{hide}</style><script>{script}</script>"
    return options | {"css": options["css"] + css, "head": head}


def nav(generation: str, watcher: Watcher) -> str:
    """The sidebar's rows. An unusable mode stands greyed, with the reason under its name."""
    rows: list[str] = []
    for key in cast("tuple[ModeKey, ...]", get_args(ModeKey)):
        mode = MODES.get(key)
        name = mode.title if mode and mode.title != _short(key) else ""
        why = gating.reason(key, generation, watcher)
        # A built mode that is only down stays open to look at; one without checkpoint or code does not.
        shut = mode is None or generation not in mode.generations()
        rows.append(_row(key, _short(key), name, why, shut=shut))
    rows.append('<hr class="nav-line">')
    rows += [_row(page, name, "", "") for page, name in EXTRA_PAGES.items()]
    return f'<nav class="nav" aria-label="Modes">{"".join(rows)}</nav>'


def _short(key: str) -> str:
    return {"animate": "Animate"}.get(key, key.upper())


def _row(page: str, name: str, title: str, why: str, *, shut: bool = False) -> str:
    classes = "row" + (" off" if why else "")
    marks = (" disabled" if shut else "") + (' data-blocked="1"' if shut else "")
    below = why or title
    return (
        f'<button type="button" class="{classes}" data-page="{page}" '
        f'title="{escape(below, quote=True)}"{marks}>'
        f'{icon(page)}<span class="names"><b>{escape(name)}</b>'
        f"<small>{escape(below)}</small></span></button>"
    )


def brand() -> str:
    """The name of the app, left in the header."""
    return '<div class="brand"><span class="dot"></span>Wan Studio</div>'


def header_links() -> str:
    """History and Settings, right in the header."""
    return (
        '<div class="links">'
        f'<button type="button" data-page="gallery">{icon("gallery")}<span>History</span></button>'
        f'<button type="button" data-page="settings">{icon("settings")}<span>Settings</span></button></div>'
    )
