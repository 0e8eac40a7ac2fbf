"""What the launcher imports: each Space's app by its path, with what lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import launch


def test_a_file_beside_an_app_is_found_as_it_is_in_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mode in ("postcard", "letter"):
        folder = tmp_path / mode
        folder.mkdir()
        (folder / f"{mode}_engine.py").write_text(f"NAME = {mode!r}\n")
        (folder / "app.py").write_text(f"from {mode}_engine import NAME\n\nservice = NAME\n")
    monkeypatch.setattr(launch, "SPACES", tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    made = [launch.load_space(mode) for mode in ("postcard", "letter")]
    assert [module.service for module in made] == ["postcard", "letter"]
    assert launch.load_space("letter") is made[1], "imported once"
