"""Every meaning of Send to fills inputs that its target's panel really has, with values that it takes."""

from __future__ import annotations

import gradio as gr
import pytest

from common.contract import MediaHandle
from common.modes.all import MODES
from common.modes.submodes import SUBMODES
from common.panels.all import PANELS
from common.run.fake import FakeRunner
from router import chaining
from tests.common.fakes import manifest

CLIP = MediaHandle(path="/x.mp4", mime="video/mp4")


@pytest.mark.parametrize("source", MODES)
def test_meanings_name_real_inputs(source) -> None:
    for meaning in chaining.meanings(source):
        mode = MODES[meaning.target]
        with gr.Blocks():
            panel = PANELS[meaning.target](FakeRunner(mode, manifest(mode), []), manifest(mode))
            panel.draw()
        names, values = chaining.inputs_of(meaning), chaining.values_of(meaning, CLIP, 0.5)
        assert set(names) <= set(panel.inputs.components) and len(names) == len(values)
        sent = dict(zip(names, values, strict=True))
        assert CLIP in values
        assert sent.get("submode", "plain") in SUBMODES


def test_a_clip_goes_on_in_its_own_mode() -> None:
    own = [m.label for m in chaining.meanings("i2v") if m.target == "i2v"]
    assert own == ["continue from the last frame", "start from the frame under the playhead"]
    assert "go on from its end" in [m.label for m in chaining.meanings("vace") if m.target == "vace"]
    assert not [m for m in chaining.meanings("t2v") if m.target == "t2v"], "text is all that it takes"


def test_every_mode_so_far_can_be_sent_to() -> None:
    targets = {m.target for key in MODES for m in chaining.meanings(key)}
    assert targets >= {"i2v", "flf2v", "v2v", "vace", "s2v", "animate"}


@pytest.mark.parametrize("source", MODES)
def test_any_result_drives_a_character_or_is_one(source) -> None:
    sent = {(m.slot, m.frame) for m in chaining.meanings(source) if m.target == "animate"}
    assert sent == {("video", None), ("image", "last"), ("image", "first"), ("image", "playhead")}


@pytest.mark.parametrize("source", MODES)
def test_a_frame_of_any_result_can_speak(source) -> None:
    sent = {(m.slot, m.frame) for m in chaining.meanings(source) if m.target == "s2v"}
    assert sent == {("image", "last"), ("image", "playhead")}


@pytest.mark.parametrize("source", ["animate", "s2v"])
def test_a_character_that_moves_or_speaks_goes_on(source) -> None:
    sent = {(m.target, m.slot) for m in chaining.meanings(source)}
    assert sent >= {("vace", "video"), ("v2v", "video"), ("i2v", "image"), ("animate", "video")}


def test_a_frame_for_the_character_is_taken_out_by_the_mode_itself() -> None:
    meaning = next(m for m in chaining.meanings("t2v") if (m.target, m.frame) == ("animate", "playhead"))
    sent = dict(zip(chaining.inputs_of(meaning), chaining.values_of(meaning, CLIP, 1.25), strict=True))
    assert sent == {"image_source": "clip", "image_clip": CLIP, "image_moment": "at", "image_second": 1.25}
    with gr.Blocks():
        mode = MODES["animate"]
        panel = PANELS["animate"](FakeRunner(mode, manifest(mode), []), manifest(mode))
        panel.draw()
    page = {name: part.value for name, part in panel.inputs.components.items()} | sent
    asked = panel.values(tuple(page.values()))
    assert (asked["image"], asked["image_from"]) == (CLIP, 1.25)
