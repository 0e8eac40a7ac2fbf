"""Controls that are kept: every pixel, whole or not at all, whatever a sweep or another process does meanwhile."""

from __future__ import annotations

import errno
import os
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from common import cache as files
from common.annotate.frames import Control
from common.budgets import Budgets
from common.control import cache

NOISE = np.random.default_rng(0).integers(0, 256, (3, 16, 32, 3), np.uint8)


@pytest.fixture
def control() -> Control:
    frames = [Image.fromarray(f) for f in NOISE]
    return Control(frames, frames, frames[:1], ["said"])


def names(folder: Path) -> set[str]:
    return {f.name for f in folder.iterdir()}


def test_every_pixel_is_kept(control: Control, tmp_path: Path) -> None:
    cache.save(control, tmp_path / "x", 16)
    found = cache.load(tmp_path / "x")
    assert found is not None and found.notices == ["said"]
    assert np.array_equal(np.stack([np.asarray(f) for f in found.video]), NOISE)
    assert np.array_equal(np.asarray(found.references[0]), NOISE[0])


@pytest.mark.parametrize("gone", ["control.json", "video.mkv", "mask.mkv", "reference-0.png"])
def test_what_a_sweep_has_left_of_a_control_is_replaced(control: Control, tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "x"
    cache.save(control, folder, 16)
    whole = names(folder)
    (folder / gone).unlink()
    assert cache.load(folder) is None
    cache.save(control, folder, 16)
    assert cache.load(folder) is not None and names(folder) == whole and names(tmp_path) == {"x"}


def test_a_control_that_is_used_is_the_youngest(control: Control, tmp_path: Path) -> None:
    for name in ("used", "unused"):
        cache.save(control, tmp_path / name, 16)
        for file in (tmp_path / name).iterdir():
            os.utime(file, (time.time() - 7200,) * 2)
    assert cache.load(tmp_path / "used") is not None
    files.sweep(tmp_path, Budgets(cache_seconds=3600))
    assert cache.load(tmp_path / "used") is not None and not (tmp_path / "unused").exists()


def test_two_processes_that_make_the_same_control_agree(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.save(control, tmp_path / "theirs", 16)
    clear = shutil.rmtree

    def other_is_faster(folder: Path, **options: Any) -> None:
        clear(folder, **options)
        if folder.name == "x":
            shutil.copytree(tmp_path / "theirs", folder)

    monkeypatch.setattr(cache.shutil, "rmtree", other_is_faster)
    cache.save(control, tmp_path / "x", 16)
    assert cache.load(tmp_path / "x") is not None and names(tmp_path) == {"x", "theirs"}


def test_a_disk_that_fails_leaves_nothing(
    control: Control, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        cache.save(control, tmp_path / "x", 16)
    assert names(tmp_path) == set()
