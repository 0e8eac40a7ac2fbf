"""The end frame that Text to Video makes: its work is seen, and what comes of it goes into the slot."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from common.contract import Backend, Done, Lineage, MediaHandle, Stage, Step
from common.modes import MODES
from common.panels.flf2v import FLF2VPanel
from common.runner import FakeRunner, Progress
from tests.common.fakes import manifest
from tests.common.panels.test_panels import drawn

STILL = MediaHandle(path="/still.mp4", mime="video/mp4")
WORK: list[Any] = [(None, Stage(name="load", text="Loading the model")), (None, Step(index=2, total=4))]


def done() -> Progress:
    mode = MODES["t2v"]
    plan = mode.plan(mode.parse({"prompt": "a"}), Backend())
    lineage = Lineage(request={}, plan=plan, seed=1, versions={}, git_sha="", created="")
    return STILL, Done(plan=plan, seed=1, seconds=1, lineage=lineage, sha256="0" * 64)


def made(script: list[Any]) -> tuple[list[list[Any]], FakeRunner]:
    panel: FLF2VPanel = drawn("flf2v")
    maker = FakeRunner(MODES["t2v"], manifest(MODES["t2v"]), script)
    panel.neighbour = lambda key: maker

    async def go() -> list[list[Any]]:
        return [u async for u in panel._make_end("a star", "128x192", SimpleNamespace(headers={}))]  # type: ignore[arg-type]

    return asyncio.run(go()), maker


def test_the_end_frame_shows_its_work_and_fills_the_slot() -> None:
    updates, maker = made([*WORK, done()])
    assert maker.asked == [{"prompt": "a star", "num_frames": 1, "width": 128, "height": 192}]
    said, make, halt = updates[0][:3]
    assert "Starting" in said and not make["interactive"] and halt["visible"]
    assert "Loading the model" in updates[1][0]
    assert "Step 2 of 4" in updates[2][0] and "width:50.0%" in updates[2][0]
    said, make, halt, *slot = updates[-1]
    assert "under Upload" in said and make["interactive"] and not halt["visible"]
    assert slot == ["clip", STILL, "last"]


def test_an_end_frame_that_fails_says_why_and_frees_the_button() -> None:
    for script, why in ((WORK, "ended without a still"), ([RuntimeError("x")], "RuntimeError")):
        said, make, halt, *_ = made(script)[0][-1]
        assert why in said and make["interactive"] and not halt["visible"]


def test_stop_of_the_end_frame_cancels_it() -> None:
    panel = drawn("flf2v")
    page = panel._make.parent
    while page.parent is not None:
        page = page.parent
    (making,) = [f for f in page.fns.values() if f.fn == panel._make_end]
    stops = [f for f in page.fns.values() if making._id in f.cancels]
    assert [t for f in stops for t in f.targets] == [(panel._halt._id, "click")]
