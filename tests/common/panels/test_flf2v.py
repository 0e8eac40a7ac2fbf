"""The end frame that Text to Video makes: its work is seen, and what comes of it goes into the slot."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import gradio as gr

from common.contract import Backend, Done, Lineage, MediaHandle, Stage, Step
from common.modes.all import MODES
from common.panels.flf2v import FLF2VPanel
from common.run.fake import FakeRunner
from common.run.runner import Progress
from tests.common.fakes import manifest
from tests.common.panels.test_panels import drawn

STILL = MediaHandle(path="/still.mp4", mime="video/mp4")
WORK: list[Any] = [
    (None, Stage(t=0, name="load", text="Loading the model")),
    (None, Step(t=0, index=2, total=4)),
]


def done() -> Progress:
    mode = MODES["t2v"]
    plan = mode.plan(mode.parse({"prompt": "a"}), Backend())
    lineage = Lineage(request={}, plan=plan, seed=1, versions={}, git_sha="", created="")
    return STILL, Done(t=0, plan=plan, seed=1, seconds=1, lineage=lineage, sha256="0" * 64)


def made(script: list[Any]) -> tuple[list[list[Any]], FakeRunner]:
    panel: FLF2VPanel = drawn("flf2v")
    maker = FakeRunner(MODES["t2v"], manifest(MODES["t2v"]), script)
    panel.neighbour = lambda key: maker

    async def go() -> list[list[Any]]:
        return [u async for u in panel._make_end("1", "a star", "128x192", SimpleNamespace(headers={}))]  # type: ignore[arg-type]

    return asyncio.run(go()), maker


def test_the_end_frame_shows_its_work_and_fills_the_slot() -> None:
    updates, maker = made([*WORK, done()])
    assert maker.asked == [{"prompt": "a star", "num_frames": 1, "width": 128, "height": 192}]
    assert "Loading the model" in updates[0][0]
    assert "Step 2 of 4" in updates[1][0] and "width:50.0%" in updates[1][0]
    said, make, halt, *slot = updates[-1]
    assert "under Upload" in said and make["interactive"] and not halt["visible"]
    assert slot == ["clip", STILL, "last"]


def test_an_end_frame_that_fails_says_why_and_frees_the_button() -> None:
    for script, why in ((WORK, "ended without a still"), ([RuntimeError("x")], "RuntimeError")):
        said, make, halt, *_ = made(script)[0][-1]
        assert why in said and make["interactive"] and not halt["visible"]


def test_a_stopped_end_frame_lets_go_of_its_work_and_says_so_last() -> None:
    panel: FLF2VPanel = drawn("flf2v")
    maker = FakeRunner(MODES["t2v"], manifest(MODES["t2v"]), [*WORK, done()])
    panel.neighbour = lambda key: maker

    async def go() -> list[list[Any]]:
        updates: list[list[Any]] = []
        async for update in panel._make_end("1", "a star", "128x192", SimpleNamespace(headers={})):  # type: ignore[arg-type]
            updates.append(update)
            if len(updates) == 1:
                assert await panel._stop_end("1") == [gr.skip()] * 3, (
                    "the job itself says that it has stopped"
                )
        return updates

    _, (said, make, halt, *slot) = asyncio.run(go())
    assert "Stopped" in said and make["interactive"] and not halt["visible"]
    assert slot == [gr.skip()] * 3 and maker.closed == 1


def test_stop_after_the_end_is_said_at_once() -> None:
    said, make, _ = asyncio.run(drawn("flf2v")._stop_end("1"))
    assert "Stopped" in said and make["interactive"]
