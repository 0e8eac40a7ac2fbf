"""A forward shared by several processes gives what one gives."""

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
    spec = importlib.util.spec_from_file_location("shared_forward", HERE / "shared_forward.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module", params=(2, pytest.param(3, marks=pytest.mark.slow)))
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What each of so many processes has got, by case and kernel."""
    size, folder = request.param, tmp_path_factory.mktemp("shared")
    command = [sys.executable, str(HERE / "shared_forward.py"), str(folder)]
    running = [
        subprocess.Popen([*command, str(rank), str(size)], cwd=ROOT, env={**_env(), "OMP_NUM_THREADS": "1"})
        for rank in range(size)
    ]
    try:
        assert [process.wait(timeout=240) for process in running] == [0] * size
    finally:
        for process in running:
            process.kill()
    return [torch.load(folder / f"{size}-{rank}.pt") for rank in range(size)]


def _env() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def test_all_have_what_one_has(shared: list[Any]) -> None:
    one = script()
    for (case, kernel), found in shared[0].items():
        for other in shared[1:]:
            assert torch.equal(other[case, kernel], found), (case, kernel)
        alone = one.made(case, kernel, None)
        off = float((found - alone).norm() / alone.norm())
        # With as many heads as there are, to the last bit here; another machine may add fewer rows in another order.
        assert off <= (1e-3 if kernel == "8 bits" else 2e-6), (case, kernel, off)
