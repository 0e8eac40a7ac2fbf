"""A T2V engine on Wan-Nano, and a way to run it that keeps the raw frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from common.contract import Event, Plan
from common.modes.t2v import MODE, Request
from common.runtime import engine as engine_module
from common.runtime.engine import Engine
from common.runtime.reader import Reader
from common.settings import SpaceSettings


class Run(NamedTuple):
    path: str
    events: list[Event]
    frames: np.ndarray

    def of(self, kind: str) -> list[Any]:
        return [e for e in self.events if e.type == kind]


@pytest.fixture(scope="session", autouse=True)
def _few_threads() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def outputs(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Any:
    folder = tmp_path_factory.mktemp("gradio")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder / "wan-studio"


class T2VEngine(Engine[Request]):
    mode = MODE
    pipeline = "WanPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        return {}


@pytest.fixture(scope="session")
def t2v() -> Engine:
    return T2VEngine(SpaceSettings())


@pytest.fixture
def run(t2v: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Run]]:
    """`run(**values)`: a still of 2 steps unless told otherwise."""
    frames: list[np.ndarray] = []
    write = engine_module.write_pictures

    def keep(made: np.ndarray, *rest: Any) -> None:
        made = np.stack([*made])
        frames.append(made)
        write(made, *rest)

    monkeypatch.setattr(engine_module, "write_pictures", keep)

    def go(**values: Any) -> Run:
        defaults: dict[str, Any] = {
            "prompt": "a red circle moving right", "checkpoint": "wan2.2-t2v-a14b", "seed": 7,
            "num_frames": 1, "num_inference_steps": 2, "preset": "quality",
        }  # fmt: skip
        request = t2v.mode.parse(defaults | values)
        updates = list(t2v.generate(request, t2v.plan(request)))
        path = updates[-1][0]
        assert path is not None
        return Run(path, [event for _, event in updates], frames[-1])

    yield go
