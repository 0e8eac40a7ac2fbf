"""Whole jobs over a server that pretends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from common.runtime import again
from common.runtime.engine import Engine
from common.runtime.lending.replica import ROOT
from common.settings import SpaceSettings
from tests.common.runtime.lending.stand_in_videos import Stand

ASKED: dict[str, Any] = {
    "prompt": "a red circle moving right", "num_frames": 5, "num_inference_steps": 10, "seed": 3, "width": 480,
    "height": 832, "preset": "quality",
}  # fmt: skip


def engine_of(mode: str, stand: Stand, **more: Any) -> Engine[Any]:
    app = again.load(ROOT / "spaces" / mode / "app.py")
    return type(app.service)(SpaceSettings(weights="wan", engine=stand.url, **more))


def made(engine: Engine[Any], **values: Any) -> tuple[Path, list[Any]]:
    request = engine.mode.parse(ASKED | values)
    updates = list(engine.generate(request, engine.plan(request)))
    assert updates[-1][0] is not None
    return Path(updates[-1][0]), [event for _, event in updates]


def notices(events: list[Any]) -> str:
    return " ".join(event.text for event in events if event.type == "notice")


def frames_of(path: Path) -> tuple[int, int, int]:
    with av.open(str(path)) as container:
        pictures = list(container.decode(video=0))
    return pictures[0].width, pictures[0].height, len(pictures)
