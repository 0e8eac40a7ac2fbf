"""What a proposal changes, word by word, as HTML with `ins` and `del`."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from html import escape

_TOKEN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W\u3400-\u9fff\uf900-\ufaff]+(?:['’-]\w+)*|\s+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words, Chinese characters, marks and the gaps between them; together they are the text again."""
    return _TOKEN.findall(text)


def words(before: str, after: str) -> str:
    """`after` as HTML, in which what is new stands in `ins` and what was taken away in `del`."""
    old, new = tokens(before), tokens(after)
    parts: list[str] = []
    for kind, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        gone, come = escape("".join(old[i:j])), escape("".join(new[k:m]))
        if kind == "equal":
            parts.append(come)
            continue
        parts += [f"<del>{gone}</del>"] if gone else []
        parts += [f"<ins>{come}</ins>"] if come else []
    return "".join(parts)
