"""What a Space and a Studio are told by their environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.errors import InputError
from common.settings import SpaceSettings, state_folder


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


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        ("ray", "ray"),
        ("ray://head:10001", "ray://head:10001"),
        ("http://host:8000", "http://host:8000"),
        ("https://host/", "https://host"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000"),
        ("http://[::1]:8000/wan/v1/", "http://[::1]:8000/wan"),
    ],
)
def test_who_makes_the_videos_is_a_pool_or_a_server(said: str, kept: str) -> None:
    assert SpaceSettings.from_env({"WAN_ENGINE": said}).engine == kept


@pytest.mark.parametrize(
    "said",
    [
        "http://me:pass@host:8000", "https://host?key=pass", "http://host#pass", "http://", "http://pass word",
        "http://pass:99999999", "https://pass:x",
    ],
)  # fmt: skip
def test_an_address_with_more_in_it_is_refused_and_not_repeated(said: str) -> None:
    with pytest.raises(InputError, match="WAN_ENGINE must be a plain address") as told:
        SpaceSettings.from_env({"WAN_ENGINE": said})
    assert "pass" not in told.value.text and "WAN_ENGINE_KEY" in told.value.text


@pytest.mark.parametrize("said", ["ftp://host", "rays", "file:///etc/passwd", "http"])
def test_any_other_engine_is_told_what_there_is(said: str) -> None:
    with pytest.raises(InputError, match="WAN_ENGINE must be ray, or the address of a cluster"):
        SpaceSettings.from_env({"WAN_ENGINE": said})


def test_the_key_of_a_server_is_shown_nowhere() -> None:
    settings = SpaceSettings.from_env({"WAN_ENGINE": "http://host:8000", "WAN_ENGINE_KEY": " sk-pass "})
    assert settings.engine_key == "sk-pass" and "sk-pass" not in repr(settings)
    for wrong in ("pass word", "pass\r\nX-Other: 1", "pässword", "p" * 5000):
        with pytest.raises(InputError, match="WAN_ENGINE_KEY must be a key") as told:
            SpaceSettings.from_env({"WAN_ENGINE_KEY": wrong})
        assert wrong not in told.value.text
