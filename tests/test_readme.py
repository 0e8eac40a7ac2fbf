"""The tables of the README are the catalog's, those of docs/limits.md the budgets'."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_tables_are_drawn_from_the_code() -> None:
    spec = importlib.util.spec_from_file_location("readme_tables", ROOT / "docs" / "tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for page in module.TABLES:
        assert module.filled(page) == (ROOT / page).read_text("utf-8"), "run: .venv/bin/python docs/tables.py"


def test_every_picture_and_page_that_it_names_is_there() -> None:
    import re

    for name in re.findall(r"\]\(([^)#h][^)]*)\)", (ROOT / "README.md").read_text("utf-8")):
        assert (ROOT / name).exists(), name
