"""Loads a Space's app.py by path, as the launcher does: `spaces/` is no package."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]


@cache
def load_app(mode: str, checkpoints: str = "") -> ModuleType:
    """A Space's app; `checkpoints` is its WAN_CHECKPOINTS."""
    name = f"wan_space_{mode}_{checkpoints}".rstrip("_")
    spec = importlib.util.spec_from_file_location(name, ROOT / "spaces" / mode / "app.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WAN_CHECKPOINTS", checkpoints)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))


@pytest.fixture
def service() -> Callable[..., Any]:
    """`service("t2v")`: the engine of a Space, which carries all of the mode's checkpoints or those named."""
    return lambda mode, carries="": load_app(mode, carries).service


@pytest.fixture
def make() -> Callable[..., tuple[Path, list[Any]]]:
    """`make("t2v", **values)`: through plan, preflight and the GPU function, as a page does it."""

    def go(mode: str, carries: str = "", **values: Any) -> tuple[Path, list[Any]]:
        service = load_app(mode, carries).service
        defaults: dict[str, Any] = {
            "prompt": "a red circle moving right", "seed": 3, "num_frames": 5, "num_inference_steps": 2,
        }  # fmt: skip
        request = service.mode.parse(defaults | values)
        updates = list(service.generate(request, service.plan(request)))
        return Path(updates[-1][0]), [event for _, event in updates]

    return go
