"""An engine's file, and its app imported again from there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import launch
from common.runtime import again

ROOT = Path(__file__).parents[3]


def test_the_file_of_an_engine_is_that_of_its_app() -> None:
    service = launch.load_space("t2v").service
    assert again.source(service) == ROOT / "spaces" / "t2v" / "app.py"
    assert again.load(again.source(service)).service is service, "imported once"


def test_another_process_has_the_same_engine() -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom common.runtime import again\n"
        "path = Path(sys.argv[1])\nservice = again.load(path).service\n"
        "assert service.mode.key == 'v2v' and again.source(service) == path\n"
    )
    path = ROOT / "spaces" / "v2v" / "app.py"
    subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, timeout=120)


def test_two_folders_of_one_name_are_two_apps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for place in ("one", "two"):
        folder = tmp_path / place / "again"
        folder.mkdir(parents=True)
        (folder / "app.py").write_text(f"service = {place!r}\n")
    paths = [tmp_path / place / "again" / "app.py" for place in ("one", "two")]
    assert [again.load(path).service for path in paths] == ["one", "two"]
    assert again.load(paths[0]).service == "one"


def test_an_app_that_fails_is_not_half_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    path = tmp_path / "failing" / "app.py"
    path.parent.mkdir()
    path.write_text("raise RuntimeError('not yet')\n")
    with pytest.raises(RuntimeError, match="not yet"):
        again.load(path)
    path.write_text("service = 'now'\n")
    assert again.load(path).service == "now"
