"""What tests of several cards share: outputs of their own, and no process that outlives them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from common.runtime.crew import leader
from tests.common.runtime.crew.two_cards import Asked


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))


@pytest.fixture(scope="module", autouse=True)
def _ended() -> Iterator[None]:
    yield
    if leader._crew is not None:
        leader._crew.end()


@pytest.fixture
def asked() -> Iterator[Callable[[str], Asked]]:
    """`asked("t2v")`: a mode whose jobs may have two cards."""
    made: list[Asked] = []

    def of(mode: str) -> Asked:
        made.append(Asked(mode))
        return made[-1]

    yield of
    for each in made:
        each.service.backend = each.service.backend.model_copy(update={"cards": 1})
