"""What a machine says of itself, and what it is told before torch is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.errors import InputError
from common.runtime.device import backend
from common.settings import SpaceSettings

ROOT = Path(__file__).parents[4]

LOOKS = """
import importlib.abc, os, sys

class Look(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("torch comes, and the fallback is", os.environ.get("PYTORCH_ENABLE_MPS_FALLBACK"))

sys.meta_path.insert(0, Look())
"""


@pytest.mark.parametrize(
    "start",
    ["import runpy; runpy.run_path('spaces/vace/app.py')", "import launch; launch.load_space('t2v')"],
    ids=["a Space by itself", "the launcher"],
)
@pytest.mark.parametrize("given", ["", "0"])
def test_mps_fallback_is_set_before_torch_is_imported(start: str, given: str) -> None:
    env = {**os.environ, "PYTORCH_ENABLE_MPS_FALLBACK": given} if given else dict(os.environ)
    if not given:
        env.pop("PYTORCH_ENABLE_MPS_FALLBACK", None)
    told = subprocess.run(
        [sys.executable, "-c", LOOKS + start], cwd=ROOT, env=env, capture_output=True, text=True, timeout=120
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[0] == f"torch comes, and the fallback is {given or '1'}"


@pytest.fixture
def mac(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A Mac of 128 GB; what its allocator was told."""
    told: list[float] = []
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 107_000_000_000)
    monkeypatch.setattr(torch.mps, "set_per_process_memory_fraction", told.append)
    return told


def test_mps_memory_has_an_end_before_the_machine_has(mac: list[float]) -> None:
    found = backend.detect(SpaceSettings(), "wan2.1-t2v-14b")
    assert (found.device, found.memory_bytes) == ("mps", 107_000_000_000)
    assert mac == [1.0], "of what Apple recommends; torch's own is 1.7"


def test_mps_can_be_left_alone(mac: list[float]) -> None:
    settings = SpaceSettings.from_env({"WAN_DEVICE": "cpu"})
    assert backend.detect(settings, "wan2.1-t2v-14b").device == "cpu"
    assert mac == []
    with pytest.raises(InputError, match="WAN_DEVICE must be cpu; got 'mps'"):
        SpaceSettings.from_env({"WAN_DEVICE": "mps"})


def test_mps_says_in_its_own_words_that_it_has_no_room() -> None:
    apple = RuntimeError("MPS backend out of memory (MPS allocated: 18.50 GiB, max allowed: 18.72 GiB).")
    assert backend.out_of_memory(apple)
    assert backend.out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not backend.out_of_memory(RuntimeError("shapes do not fit"))
