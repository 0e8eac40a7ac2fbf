"""What the browser measured of a clip: told before Generate, held against every rule, kept from the job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gradio.data_classes import FileData

from common.contract import MediaHandle
from common.panels.handles import ClipFigures, HandleAudio, SoundFigures, measured
from tests.common.panels.test_panels import drawn, page

CLIP = MediaHandle(path="/c.mp4", mime="video/mp4")
SENT = {"clip": "/c.mp4", "width": 640, "height": 360, "seconds": 30.0}


@pytest.fixture
def figures() -> ClipFigures:
    return ClipFigures(visible=False)


def test_figures_belong_to_their_clip(figures: ClipFigures) -> None:
    seen = figures.preprocess(SENT)
    known = measured(CLIP, seen)
    assert (known.width, known.height, known.seconds, known.frames) == (640, 360, 30.0, None)
    assert measured(MediaHandle(path="/other.mp4"), seen).seconds is None
    assert measured(CLIP, figures.preprocess(None)) == CLIP


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        "x",
        {},
        {"clip": "x"},
        {"clip": {}},
        {**SENT, "clip": None},
        {**SENT, "clip": {"path": "/c.mp4"}},
        {**SENT, "width": None},
        {**SENT, "width": -1},
        {**SENT, "height": "wide"},
        {**SENT, "seconds": 1e99},
        {**SENT, "seconds": [1]},
    ],
)
def test_figures_that_no_browser_sends_are_none(figures: ClipFigures, wrong: Any) -> None:
    assert figures.preprocess(wrong) is None


@pytest.mark.parametrize("mode", ["v2v", "vace"])
def test_the_label_knows_the_figures_and_the_job_does_not(mode: str, figures: ClipFigures) -> None:
    panel = drawn(mode)
    raw = page(panel, video=CLIP, video_seen=figures.preprocess(SENT))
    assert panel.values(raw)["video"] == CLIP, "a job measures the file itself"
    assert panel.inputs.measured(panel.values(raw), raw)["video"].seconds == 30.0


@pytest.mark.parametrize(
    ("mode", "seen"), [("v2v", "video_seen"), ("vace", "video_seen"), ("i2v", "image_seen")]
)
def test_a_clip_suggests_the_resolution(mode: str, seen: str, figures: ClipFigures) -> None:
    panel = drawn(mode)
    component = panel.inputs.components[seen]
    suggests = [
        f for f in panel.heading.parent.fns.values()
        if f.fn == panel._suggest_resolution and (component._id, "change") in f.targets
    ]  # fmt: skip
    assert len(suggests) == 1
    chosen = panel.initial.default_checkpoint
    assert asyncio.run(panel._suggest_resolution(figures.preprocess(SENT), chosen)) == "192x128"
    tall = figures.preprocess({**SENT, "width": 360, "height": 640})
    assert asyncio.run(panel._suggest_resolution(tall, chosen)) == "128x192"


def test_a_sound_goes_through_as_it_is() -> None:
    handle = HandleAudio(type="filepath").preprocess(
        FileData(path="/cache/a/audio.webm", orig_name="audio.webm")
    )
    assert handle == MediaHandle(path="/cache/a/audio.webm", orig_name="audio.webm")
    back = HandleAudio().postprocess(handle)
    assert isinstance(back, FileData) and back.path == "/cache/a/audio.webm"


def test_a_sound_has_a_length_and_no_size() -> None:
    sound, figures = MediaHandle(path="/a/s.wav"), SoundFigures(visible=False)
    seen = figures.preprocess({"clip": "/a/s.wav", "seconds": 12.4, "width": 5, "height": 5})
    known = measured(sound, seen)
    assert (known.seconds, known.width, known.height) == (12.4, None, None)
    assert measured(MediaHandle(path="/b/s.wav"), seen).seconds is None
    for wrong in (None, [], {}, {"clip": "/a/s.wav", "seconds": "long"}, {"clip": None, "seconds": 1}):
        assert figures.preprocess(wrong) is None
