"""A file's settings back in its panel: what it was told, how long it was, and a seed that is held."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from common.contract import Lineage
from common.errors import MediaError
from common.modes.all import MODES
from common.panels import refill
from common.panels.all import PANELS
from common.run.fake import FakeRunner
from tests.common.fakes import manifest

CLIP, PICTURE = {"path": "b.mp4"}, {"path": "a.png"}


def lineage(mode: str, weights: str = "wan", **values: Any) -> Lineage:
    m = MODES[mode]  # type: ignore[index]
    request = m.parse({"seed": 4711, **values})
    kept = request.model_dump(mode="json", exclude={s.name for s in m.slots}, exclude_none=True)
    plan = m.plan(request, weights=weights)
    return Lineage(request=kept, plan=plan, seed=4711, versions={}, git_sha="", created="")


def refilled(mode: str, made: Lineage) -> dict[str, Any]:
    m = MODES[mode]  # type: ignore[index]
    with gr.Blocks():
        panel = PANELS[m.key](FakeRunner(m, manifest(m), []), manifest(m))
        panel.draw()
    updates = refill.refill(panel, made)
    return {name: updates[part] for name, part in panel.inputs.components.items() if part in updates}


def test_a_performance_comes_back_with_its_task_and_its_segments() -> None:
    told = {"animate_mode": "replace", "relight": True, "prev_segment_conditioning_frames": 5}
    told |= {"preprocessor": "opencv"}
    back = refilled("animate", lineage("animate", image=PICTURE, video=CLIP, num_frames=150, **told))
    assert told.items() <= back.items()
    assert (back["num_frames"], back["duration"]["value"], back["whole_clip"]) == (150, 5.0, False)
    assert (back["seed"], back["randomize"], back["prompt"]) == (4711, False, "")
    assert back["resolution"]["value"] == "832x480" and "image_picture" not in back and "video" not in back


def test_a_pose_that_was_retargeted_is_again() -> None:
    back = refilled("animate", lineage("animate", image=PICTURE, video=CLIP, retarget=True))
    assert back["retarget"] is True and back["animate_mode"] == "animate"


@pytest.mark.parametrize("mode", ["v2v", "vace", "animate"])
def test_a_length_that_somebody_chose_is_held(mode: str) -> None:
    given = {"prompt": "a", "video": CLIP} | ({"image": PICTURE} if mode == "animate" else {})
    assert refilled(mode, lineage(mode, **given, num_frames=33))["whole_clip"] is False
    assert refilled(mode, lineage(mode, **given))["whole_clip"] is True


@pytest.mark.parametrize("most", [None, 2])
def test_a_speech_comes_back_without_its_length(most: int | None) -> None:
    sound = {"path": "s.wav", "seconds": 12.4}
    made = lineage("s2v", prompt="a", image=PICTURE, audio=sound, **({"num_clip": most} if most else {}))
    back = refilled("s2v", made)
    assert back["num_clip"] == (most or 0) and back["resolution"]["value"] == "832x448"
    assert "audio" not in back and "audio_seen" not in back and back["prompt"] == "a"


def test_settings_that_break_a_rule_are_refused() -> None:
    made = lineage("animate", image=PICTURE, video=CLIP)
    broken = made.model_copy(update={"request": {**made.request, "prev_segment_conditioning_frames": 3}})
    with pytest.raises(MediaError, match="holds settings that this Studio does not take"):
        refilled("animate", broken)
