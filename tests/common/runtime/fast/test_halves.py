"""Two processes that make one forward each of a guided step: shortcuts, compiled blocks, and what stays behind."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[3]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("halved_steps", HERE / "halved_steps.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of them has made, by kind and way."""
    folder = tmp_path_factory.mktemp("halved")
    command = [sys.executable, str(HERE / "halved_steps.py"), str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    running = [subprocess.Popen([*command, str(rank), "2"], cwd=ROOT, env=environment) for rank in range(2)]
    try:
        assert [process.wait(timeout=400) for process in running] == [0, 0]
    finally:
        for process in running:
            process.kill()
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("kind", ["dense", "moe"])
@pytest.mark.parametrize("way", ["guidance off in the last steps", "every second step reused", "compiled"])
def test_both_have_what_one_makes_with_half_the_forwards(kind: str, way: str, both: list[Any]) -> None:
    torch.set_num_threads(1)
    one, (first, second) = script().made(kind, way, None), (found[kind, way] for found in both)
    assert torch.equal(first["clip"], second["clip"]) and torch.equal(first["clip"], one["clip"])
    assert first["again"] == second["again"] == 0, "a second clip compiles nothing"
    if way == "compiled":
        return
    assert first["counts"] == second["counts"]
    assert one["counts"][:6] == [2 * n for n in first["counts"][:6]] and first["counts"][6:] == [1, 1]
    if way == "every second step reused":
        assert 0 in first["counts"][:6]
