"""Offers under Generate: what a click sets, and what the Hub said of a quota."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from common.catalog import CHECKPOINTS
from common.contract import MediaHandle
from common.errors import StudioError
from common.modes.offers import fits
from common.placement import zerogpu
from common.quota import TITLE
from tests.common.panels.test_panels import drawn, page

VISITOR: Any = SimpleNamespace(session_hash="me", headers={})
REFUSED = StudioError("(90s requested vs. 40s left). Try again in 3:12:05. ", title=TITLE)
SETTINGS = {"preset": "quality", "num_inference_steps": 30, "guidance_scale": 4, "prompt": "a fox"}


def relabelled(panel: Any, who: Any = VISITOR, **changes: Any) -> dict[str, Any]:
    label, words, row, *buttons = asyncio.run(panel.offering.relabel(who, *page(panel, **changes)))
    names = [b["value"] for b in buttons if b.get("value")]
    return {"label": label, "words": words, "visible": row["visible"], "names": names}


def taken(panel: Any, name: str, **changes: Any) -> dict[str, Any]:
    """The page's values after a click on an offer."""
    names = {id(c): n for n, c in panel.inputs.components.items()}
    sent = asyncio.run(panel.offering._take(VISITOR, name, *page(panel, **changes)))
    updates = {names[id(c)]: u for c, u in sent.items()}
    return changes | {n: u["value"] if isinstance(u, dict) else u for n, u in updates.items()}


# Of Animate and S2V one segment is more than a free day, and there is no smaller model.
@pytest.mark.parametrize("mode", ["t2v", "i2v", "flf2v", "v2v", "vace"])
def test_after_a_click_the_page_asks_for_what_fits(mode: str) -> None:
    panel = drawn(mode, weights="wan", backend=zerogpu("xlarge"))
    row = CHECKPOINTS[panel.initial.default_checkpoint]
    preset = "quality" if "quality" in row.presets else "fast"
    start = {"preset": preset, "num_inference_steps": row.steps(preset, "wan"), "prompt": "a"}
    shown = relabelled(panel, **start)
    assert shown["visible"] and shown["names"] and "free account" in shown["words"]
    for name in shown["names"]:
        after = relabelled(panel, **taken(panel, name, **start))
        assert not after["visible"], name
        values = panel.values(page(panel, **taken(panel, name, **start)))
        assert fits(panel.preview_plan(panel.initial, values)), name


def test_the_price_stands_on_the_button() -> None:
    panel = drawn(weights="wan", backend=zerogpu("xlarge"))
    names = relabelled(panel, **SETTINGS)["names"]
    assert names[0].startswith("Fast (~") and names[0].endswith(" s)")


def test_a_page_of_nano_offers_nothing() -> None:
    shown = relabelled(drawn(), prompt="a")
    assert not shown["visible"]


@pytest.mark.parametrize("name", ["", "Fast (~1 s)", "<b>", None, ["Fast"], 7])
def test_only_what_is_on_offer_can_be_taken(name: Any) -> None:
    panel = drawn(weights="wan", backend=zerogpu("xlarge"))
    with pytest.raises(StudioError, match="changed since"):
        taken(panel, name, **SETTINGS)


def test_what_the_hub_said_is_shown_to_that_visitor_and_offers_keep_to_it() -> None:
    panel = drawn(weights="wan", backend=zerogpu("xlarge"), script=[REFUSED])
    fast = {
        **SETTINGS,
        "preset": "fast",
        "num_inference_steps": 4,
        "guidance_scale": 1,
        "guidance_scale_2": 1,
    }

    async def run() -> None:
        async for _ in panel._generate(
            VISITOR, "0d9f3a52-7f3c-4a3e-9a53-2f7a6a1c9b10", "", False, *page(panel, **fast)
        ):
            pass

    asyncio.run(run())
    shown = relabelled(panel, **fast)
    assert "the Hub said that 40 s of your day are left" in shown["label"]
    assert not shown["visible"] or "what is left" in shown["words"]
    other = relabelled(panel, SimpleNamespace(session_hash="other"), **fast)
    assert "Hub said" not in other["label"] and not other["visible"]


def test_a_whole_clip_is_cut_where_less_is_offered() -> None:
    panel = drawn("v2v", weights="wan", backend=zerogpu("xlarge"))
    start = {**SETTINGS, "video": MediaHandle(path="/a.mp4"), "whole_clip": True}
    names = relabelled(panel, **start)["names"]
    shorter = next(n for n in names if "long" in n)
    after = taken(panel, shorter, **start)
    assert after["whole_clip"] is False and after["num_frames"] < 81
