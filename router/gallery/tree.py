"""What a result was made from, and from what that: the lineage as a small tree, with links to what is here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from router.gallery.items import Item
from router.shell import short

DEPTH, CHILDREN = 6, 12


def tree(item: Item, items: Sequence[Item]) -> str:
    """The tree's HTML, down to what was uploaded, and what was made of it; empty where there is neither."""
    here = {hash_of(other): other for other in items if not other.deleted and hash_of(other)}
    above = _parents(item, here, {item.key}, DEPTH)
    made = [
        other
        for other in items
        if not other.deleted
        and other.lineage
        and any(p.sha256 == hash_of(item) for p in other.lineage.parents)
    ]
    below = "".join(f"<li>{_link(other)}</li>" for other in made[:CHILDREN] if other is not item)
    parts = f"<h4>Made from</h4>{above}" if above else ""
    return parts + (f"<h4>Used in</h4><ul>{below}</ul>" if below else "")


def hash_of(item: Item) -> str:
    """The hash of its content, by which lineages name it; empty where it is not known."""
    return item.video.sha256 or ""


def _parents(item: Item, here: Mapping[str, Item], seen: set[str], depth: int) -> str:
    parents = item.lineage.parents if item.lineage else []
    if not parents or not depth:
        return ""
    rows: list[str] = []
    for parent in parents[:CHILDREN]:
        known = here.get(parent.sha256)
        role = f'<span class="role">{escape(parent.role[:40])}</span>'
        if known is not None and known is not item:
            new = known.key not in seen
            seen.add(known.key)  # in full once: a stranger's files may name each other all the way down
            further = _parents(known, here, seen, depth - 1) if new else ""
            rows.append(f"<li>{role} {_link(known)}{further}</li>")
        else:
            what = f"{short(parent.mode[:20])} result" if parent.mode else "a file"
            mark = escape(parent.sha256[:8])
            rows.append(f"<li>{role} {escape(what)}, not in this gallery <code>{mark}</code></li>")
    return f"<ul>{''.join(rows)}</ul>"


def _link(item: Item) -> str:
    words = escape(f"{short(item.mode)} {item.prompt[:48]}")
    return f'<button type="button" class="plain" data-act="open" data-key="{item.key}">{words}</button>'
