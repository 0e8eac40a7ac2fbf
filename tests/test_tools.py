"""What the tests need is looked for first, then got; what cannot be got is said in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import tools


def command(folder: Path, name: str, script: str = "exit 0") -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH holds nothing but what the test puts there."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_what_the_system_has_is_taken(alone: Path) -> None:
    assert tools.chromium() is None and not tools.ffmpeg_there()
    for name in ("google-chrome", "ffmpeg", "ffprobe"):
        command(alone, name)
    assert tools.chromium() == str(alone / "google-chrome") and tools.ffmpeg_there()


def test_the_package_manager_gets_what_is_missing(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    makes = f'for n in ffmpeg ffprobe; do printf "#!/bin/sh\\n" > {alone}/$n; /bin/chmod 755 {alone}/$n; done'
    command(alone, "apt-get", f'echo "$@" >> {alone}/asked\n[ "$1" = update ] || {makes}')
    assert tools.got(tools.ffmpeg_there, lambda: tools.from_packages("ffmpeg"))
    assert (alone / "asked").read_text().splitlines() == ["update -qq", "install -y -qq ffmpeg"]


def test_the_next_name_is_tried_where_a_system_has_not_the_first(
    alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command(alone, "apt-get", f'echo "$@" >> {alone}/asked\n[ "$4" != chromium-headless-shell ]')
    assert tools.from_packages("chromium")
    assert [line.split()[-1] for line in (alone / "asked").read_text().splitlines()] == [
        "-qq",
        "chromium-headless-shell",
        "chromium",
    ]


def test_without_rights_sudo_may_not_ask(alone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    command(alone, "apt-get")
    command(alone, "sudo", f'printf "%s\\n" "$1" >> {alone}/asked\nexit 1')
    assert not tools.got(tools.ffmpeg_there, lambda: tools.from_packages("ffmpeg"))
    assert set((alone / "asked").read_text().splitlines()) == {"-n"}


def test_one_line_says_what_could_not_be_got(
    alone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tools, "browser_starts", lambda: False)
    monkeypatch.setattr(tools, "from_playwright", lambda: True)  # as a download whose libraries are not there
    tools.main()
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "Could not get Chromium (for the browser tests) or ffmpeg and ffprobe: install it, or tests fail."
    ]
