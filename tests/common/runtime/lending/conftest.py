"""A server of videos that pretends, and no time to wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.runtime.lending import server, videos
from common.runtime.model import weights
from tests.common.runtime.lending.stand_in_videos import Stand, serving


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a wait, and without any real weights."""
    monkeypatch.setattr(videos, "LOOK", 0.01)
    monkeypatch.setattr(server, "LEAST_WAIT", 0.01)

    resolve = weights.resolve

    def embedded(checkpoint: Any, kind: Any, say: Any) -> Path:
        assert kind == "nano", "nothing is loaded or downloaded here"
        return resolve(checkpoint, kind, say)

    monkeypatch.setattr(weights, "resolve", embedded)


@pytest.fixture
def stand() -> Iterator[Stand]:
    with serving(Stand()) as stand:
        yield stand
