"""What the launcher imports: each Space's app by its path, with what lies beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import launch
from common.errors import UnavailableError


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


def test_modes_that_a_server_does_not_make_are_told_in_a_line_and_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(key: str) -> object:
        if key != "t2v":
            raise UnavailableError(f"vLLM-Omni at host:8000 cannot be asked for {key}")
        return key

    monkeypatch.setattr(launch, "load_space", load)
    assert launch.loaded(["i2v", "t2v", "vace"]) == {"t2v": "t2v"}
    assert capsys.readouterr().out.splitlines() == [
        f"vLLM-Omni at host:8000 cannot be asked for {key}" for key in ("i2v", "vace")
    ]
    with pytest.raises(UnavailableError, match="cannot be asked for i2v"):
        launch.loaded(["i2v", "vace"])
