"""What a Space and a Studio are told by their environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from common.settings import state_folder


def test_a_studio_remembers_nothing_where_no_folder_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAN_STATE", " ")
    assert state_folder() is None


def test_the_folder_of_a_studio_is_made_for_its_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAN_STATE", str(tmp_path / "a" / "b"))
    assert state_folder() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_is_told_by_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WAN_STATE", str(tmp_path / "file" / "below"))
    with pytest.raises(InputError, match="WAN_STATE must be a folder"):
        state_folder()
