"""Writes the README's tables from the catalog: `python docs/tables.py`; a test compares them."""

from __future__ import annotations

import re
from pathlib import Path

from common import tables

README = Path(__file__).resolve().parents[1] / "README.md"


def filled(text: str) -> str:
    """The README with its tables drawn anew."""
    for name, table in (("modes", tables.markdown()), ("loras", tables.lora_markdown())):
        block = re.compile(rf"(<!-- {name}:begin[^\n]*-->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text, found = block.subn(lambda m, table=table: m[1] + table + "\n" + m[2], text)
        assert found == 1, name
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text("utf-8")), "utf-8")
