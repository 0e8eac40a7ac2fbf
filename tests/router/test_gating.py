"""Menus where places carry only a part of the catalog: what is there is listed, and a wish shuts no mode."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import gradio as gr
import pytest

from common.catalog import GENERATIONS
from common.modes.all import MODES
from common.panels.all import PANELS
from router import gating
from router.dispatch import FederatedRunner, Studio
from router.federation import parse
from router.health import Status, Watcher
from tests.common.fakes import manifest

OLD, OLD_SMALL, NEW = "wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "wan2.2-t2v-a14b"


def watcher(*carried: tuple[str, list[str]]) -> Watcher:
    """One that knows a ready place for each of `carried`: its mode, and the models that it has."""
    table: dict[str, list[str]] = {}
    for i, (mode, _) in enumerate(carried):
        table.setdefault(mode, []).append(f"http://place{i}/")
    found = Watcher(parse(json.dumps(table)))
    places = {place.where: place for group in found.federation.values() for place in group}
    for i, (mode, keys) in enumerate(carried):
        whole = manifest(MODES[mode])  # type: ignore[index]
        infos = [info for info in whole.checkpoints if info.key in keys]
        own = whole.model_copy(update={"checkpoints": infos, "default_checkpoint": infos[0].key})
        found.note(Status(places[f"http://place{i}/"], "ready", "", own, f"http://place{i}/"))
    return found


def menu(found: Watcher, mode: str) -> list[str]:
    return [key for _, key in gating.header(mode, "", found)["choices"]]


def gated(found: Watcher, generation: str, checkpoint: str) -> dict[str, Any]:
    """What the gate sets the inputs of T2V to, which shows `checkpoint`."""
    runner = FederatedRunner(MODES["t2v"], Studio(found))
    panel = PANELS["t2v"](runner, runner.known())
    with gr.Blocks():
        panel.draw()
    now = {"checkpoint": checkpoint, "preset": "fast", "resolution": "", "duration": None, "num_frames": None}
    updates = asyncio.run(gating.gate(panel, generation, "fast", now))
    return {name: updates.get(part, gr.skip()) for name, part in panel.inputs.components.items()}


def test_before_any_answer_the_menus_are_the_catalogs() -> None:
    found = Watcher(parse('{"t2v": "http://place0"}'))
    assert menu(found, "t2v") == ["2.2", "2.1"]
    assert gating.generation_of(MODES["t2v"], "", found) == "2.2"


@pytest.mark.parametrize(
    ("carried", "generations"),
    [
        ([("t2v", [OLD])], ["2.1"]),
        ([("t2v", [NEW])], ["2.2"]),
        ([("t2v", [OLD]), ("t2v", [NEW])], ["2.2", "2.1"]),
    ],
)
def test_the_header_lists_what_the_places_carry(carried: Any, generations: list[str]) -> None:
    assert menu(watcher(*carried), "t2v") == generations


def test_the_models_of_a_menu_are_those_that_are_carried() -> None:
    found = watcher(("t2v", [OLD, NEW]))
    for generation, key in (("2.1", OLD), ("2.2", NEW)):
        update = gated(found, generation, OLD_SMALL)["checkpoint"]
        assert ([k for _, k in update["choices"]], update["value"]) == ([key], key)


def test_a_model_that_still_fits_is_kept() -> None:
    assert gated(watcher(("t2v", [OLD, OLD_SMALL])), "2.1", OLD_SMALL)["checkpoint"]["value"] == OLD_SMALL


@pytest.mark.parametrize(
    ("carried", "wish", "shown"),
    [
        ([OLD, NEW], "", "2.2"),  # the mode's own order, not the place's
        ([OLD, NEW], "2.1", "2.1"),
        ([OLD], "", "2.1"),
        ([OLD], "2.2", "2.1"),
        ([NEW], "2.1", "2.2"),
        ([OLD], "9.9", "2.1"),
        ([OLD, NEW], "2.5", "2.2"),  # none here has it: the newest that there is
    ],
)
def test_a_mode_falls_back_on_what_it_has(carried: list[str], wish: str, shown: str) -> None:
    found = watcher(("t2v", carried))
    assert gating.generation_of(MODES["t2v"], wish, found) == shown
    assert gating.header("t2v", wish, found)["value"] == shown


@pytest.mark.parametrize("wish", [*GENERATIONS, "9.9"])
def test_a_wish_that_nobody_fulfils_leaves_every_mode_usable(wish: str) -> None:
    have = {"t2v": [OLD], "vace": ["wan2.1-vace-14b"], "i2v": ["wan2.2-i2v-a14b"]}
    found = watcher(*have.items())
    for key in have:
        mode = MODES[key]  # type: ignore[index]
        (generation,) = gating.carried(mode, found)
        assert gating.generation_of(mode, wish, found) == generation
        header = gating.header(key, wish, found)
        assert (header["value"], [g for _, g in header["choices"]]) == (generation, [generation])
        assert header.get("interactive", True), "the menu of a mode is never shut"
    update = gated(found, wish, NEW)["checkpoint"]
    assert ([k for _, k in update["choices"]], update["value"]) == ([OLD], OLD)


def test_the_row_says_what_runs_instead() -> None:
    found = watcher(("t2v", [OLD]), ("i2v", ["wan2.2-i2v-a14b"]))
    assert gating.reason("t2v", "2.2", found) == "no Wan 2.2 here; runs Wan 2.1"
    assert gating.reason("i2v", "2.2", found) == ""
    for nobodys in ("", "3.0", "[]", "wan"):  # kept by a browser, or sent by a program
        assert gating.reason("t2v", nobodys, found) == ""


def test_a_page_that_is_no_mode_leaves_the_header_alone() -> None:
    assert gating.header("gallery", "2.1", watcher(("t2v", [OLD]))) == gr.skip()
