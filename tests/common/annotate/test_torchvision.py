"""Makers that use torchvision, or do without it, against torchvision itself: with_torchvision.py, run apart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TORCHVISION = Path(sys.prefix) / "torchvision"  # `make setup` puts it beside the packages, not among them


@pytest.mark.parametrize(
    "name",
    [
        "test_raft_is_fed_as_torchvision_feeds_it",
        "test_sam2_follows_as_with_its_own_processor",
        "test_sam2_follows_points_of_several_frames_as_with_its_own_processor",
    ],
)
def test_beside_torchvision(name: str) -> None:
    assert TORCHVISION.is_dir(), f"{TORCHVISION} is missing; run `make setup`"
    case = Path(__file__).with_name("with_torchvision.py")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"{case}::{name}"],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(TORCHVISION)},
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-1000:]
