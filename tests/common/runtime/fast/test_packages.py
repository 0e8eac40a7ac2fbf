"""A compiled package is taken where all is as it was made for; whatever else there is, is a sentence."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest
import torch

from common.runtime.fast import packages


def written(root: Path, content: bytes, **apart: str) -> Path:
    folder = root / packages.FOLDER
    folder.mkdir()
    (folder / "cpu.bin.gz").write_bytes(content)
    about = {"sha256": hashlib.sha256(content).hexdigest(), "made for": packages.machine() | apart}
    (folder / "cpu.json").write_text(json.dumps(about))
    return folder


def test_packages_are_looked_for_and_need_not_be_there(tmp_path: Path) -> None:
    assert packages.take(tmp_path) == ""


def test_packages_of_another_machine_are_left_with_a_notice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path, b"", card="NVIDIA H200", torch="2.11.0")
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda _: pytest.fail("it was loaded"))
    here = packages.machine()
    assert packages.take(tmp_path) == (
        f"The compiled package cpu.json was made for card NVIDIA H200, torch 2.11.0; this is card CPU, "
        f"torch {here['torch']}: blocks are compiled here at first use (20 to 50 s, once)."
    )


def test_packages_that_are_damaged_are_left_with_a_notice(tmp_path: Path) -> None:
    folder = written(tmp_path, gzip.compress(b"no cache of torch"))
    assert "cannot be used (ValueError: torch could not read it)" in packages.take(tmp_path)
    (folder / "cpu.bin.gz").write_bytes(b"cut")
    assert "its file is not the one that was written; bake it again" in packages.take(tmp_path)
    (folder / "cpu.bin.gz").unlink()
    assert "cannot be used (FileNotFoundError" in packages.take(tmp_path)
    for text in ("{", "[]", "{}"):
        (folder / "cpu.json").write_text(text)
        assert packages.take(tmp_path).startswith("The compiled package cpu.json cannot be used")


def test_packages_of_this_machine_are_given_to_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside one of another card and a broken one, which come first by their names."""
    folder = written(tmp_path, gzip.compress(b"a cache"))
    other = {"sha256": "", "made for": packages.machine() | {"card": "A card"}}
    (folder / "a-card.json").write_text(json.dumps(other))
    (folder / "a-broken.json").write_text("{")
    taken: list[bytes] = []
    monkeypatch.setattr(torch.compiler, "load_cache_artifacts", lambda content: taken.append(content) or True)
    assert packages.take(tmp_path) == "" and taken == [b"a cache"]


def test_packages_are_not_made_of_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "save_cache_artifacts", lambda: None)
    with pytest.raises(ValueError, match="nothing was compiled"):
        packages.save(tmp_path, "wan2.1-t2v-1.3b")
