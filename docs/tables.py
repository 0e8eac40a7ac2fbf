"""Writes the tables of the README and of docs/: `python docs/tables.py`; a test compares them."""

from __future__ import annotations

import re
from pathlib import Path

from cli import machines, tables

ROOT = Path(__file__).resolve().parents[1]
TABLES = {
    "README.md": {"modes": tables.markdown, "loras": tables.lora_markdown},
    "docs/limits.md": {"limits": tables.limits_markdown},
    "docs/machines.md": {
        "weights": machines.weights_markdown,
        "backends": machines.backends_markdown,
        "machines": machines.markdown,
    },
}


def filled(page: str) -> str:
    """A page with its tables drawn anew."""
    text = (ROOT / page).read_text("utf-8")
    for name, table in TABLES[page].items():
        block = re.compile(rf"(<!-- {name}:begin[^\n]*-->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text, found = block.subn(lambda m, table=table: m[1] + table() + "\n" + m[2], text)
        assert found == 1, name
    return text


if __name__ == "__main__":
    for page in TABLES:
        (ROOT / page).write_text(filled(page), "utf-8")
