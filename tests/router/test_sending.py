"""Send to hands a result to the one input that its menu's entry means, whatever a program says in its place."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr
import pytest

from common.contract import MediaHandle
from common.modes.all import MODES
from common.panels.all import PANELS
from common.run.fake import FakeRunner
from router import chaining
from router.sending import Sending, _menu
from tests.common.fakes import manifest

CLIP = MediaHandle(path="/x.mp4", mime="video/mp4")
NOTHING = [None] * len(MODES)


@pytest.fixture(scope="module")
def sending() -> Sending:
    with gr.Blocks():
        panels = {
            key: PANELS[key](FakeRunner(mode, manifest(mode), []), manifest(mode))
            for key, mode in MODES.items()
        }
        for panel in panels.values():
            panel.draw()
        sending = Sending(panels)
        sending.draw()
    return sending


def said(value: Any) -> gr.EventData:
    return gr.EventData(None, value)


@pytest.mark.parametrize("meaning", chaining.every(), ids=lambda m: m.key)
def test_every_entry_fills_its_input(sending: Sending, meaning: chaining.Meaning) -> None:
    videos: list[Any] = list(NOTHING)
    videos[2] = CLIP
    updates = sending.send(said({"value": meaning.key}), *videos, 0.5)
    parts = sending.panels[meaning.target].inputs.components
    names = {name for name, part in parts.items() if part in updates}
    assert names == set(chaining.inputs_of(meaning))
    assert CLIP in updates.values() and set(updates) <= set(sending.outputs)


@pytest.mark.parametrize("value", [None, 3, "i2v", ["i2v-image-last"], {"i2v-image-last": 1}])
def test_what_no_menu_says_is_refused(sending: Sending, value: Any) -> None:
    with pytest.raises(gr.Error, match="Generate a video first"):
        sending.send(said({"value": value}), CLIP, *NOTHING[1:], 0)
    with pytest.raises(gr.Error, match="Generate a video first"):
        sending.send(said(value), CLIP, *NOTHING[1:], 0)


def test_without_a_result_there_is_nothing_to_send(sending: Sending) -> None:
    with pytest.raises(gr.Error, match="Generate a video first"):
        sending.send(said({"value": "v2v-video-"}), *NOTHING, 0)


@pytest.mark.parametrize("head", [None, -1.0, float("nan"), float("inf")])
def test_a_playhead_that_is_none_is_the_beginning(sending: Sending, head: Any) -> None:
    meaning = sending.known["i2v-image-playhead"]
    assert list(sending.updates(meaning, CLIP, head).values())[3] == 0


def test_the_menu_lists_every_meaning_once_and_hides_what_leads_nowhere() -> None:
    listed = re.findall(r'<button[^>]* data-send="([^"]+)"', _menu())
    assert listed == [meaning.key for meaning in chaining.every()]
    assert len(set(listed)) == len(listed)
    assert 'body[data-page="i2v"] [data-send="i2v-image-first"] { display: none !important; }' in _menu()


def test_one_event_serves_all_entries(sending: Sending) -> None:
    page = sending.panels["t2v"].video.parent
    while page.parent is not None:
        page = page.parent
    hands = [
        event
        for event in page.fns.values()  # pyright: ignore[reportAttributeAccessIssue]
        if sending.panels["vace"].inputs.components["submode"] in event.outputs
        and sending.panels["i2v"].inputs.components["image_clip"] in event.outputs
    ]
    assert len(hands) == 1
