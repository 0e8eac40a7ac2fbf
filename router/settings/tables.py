"""Tables of the Settings page: on a phone each row is a card, whose cells say what they are."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

NONE = "—"
"""Stands in a cell that has nothing to say; a card leaves it out."""


def table(name: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table called `name` to who cannot see it. Cells are HTML, heads are text.

    The roles say again what the elements are: a browser forgets that of what is drawn as a card.
    """
    head = "".join(f'<th role="columnheader" scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(f'<tr role="row">{_cells(heads, row)}</tr>' for row in rows)
    return (
        f'<table role="table" aria-label="{escape(name, quote=True)}"><thead role="rowgroup"><tr role="row">{head}'
        f'</tr></thead><tbody role="rowgroup">{body}</tbody></table>'
    )


def _cells(heads: Sequence[str], row: Sequence[str]) -> str:
    labels = (escape(text, quote=True) for text in heads)
    return "".join(
        f'<td role="cell" data-head="{label}"{" class=none" * (cell in ("", NONE))}><div>{cell}</div></td>'
        for label, cell in zip(labels, row, strict=True)
    )


def section(title: str, about: str, body: str) -> str:
    """A part of the page; `about` is text, `body` HTML."""
    words = f'<p class="dim">{escape(about)}</p>' if about else ""
    return f'<section class="settings"><h3>{escape(title)}</h3>{words}{body}</section>'


def two(text: str, below: str) -> str:
    """Text with a smaller line below it."""
    return f"{escape(text)}<small>{escape(below)}</small>" if below else escape(text)


def badge(text: str, kind: str = "") -> str:
    """A state; `kind` colours it."""
    return f'<span class="state {kind}">{escape(text)}</span>'


def button(action: str, text: str, label: str, mode: str = "", key: str = "", sure: str = "") -> str:
    """A button that asks for an action, where `sure` is given only after this question."""
    told = {"do": action, "mode": mode, "key": key, "sure": sure}
    data = "".join(f' data-{name}="{escape(value, quote=True)}"' for name, value in told.items() if value)
    return (
        f'<button type="button" class="chip"{data} aria-label="{escape(label, quote=True)}">{escape(text)}</button>'
    )


def size(count: float) -> str:
    """Bytes to read: 8.1 MB, 57 GB."""
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    number, unit = (count / 1e9, "GB") if count >= 1e9 else (count / 1e6, "MB")
    return f"{number:.0f} {unit}" if number >= 100 else f"{number:.1f} {unit}"
