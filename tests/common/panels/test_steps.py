"""What the heads of VACE's closed steps say: what is chosen and given, and that something is needed."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from common.contract import MediaHandle
from common.modes.all import MODES
from common.modes.submodes import SUBMODES
from common.panels import steps
from common.panels.vace import VACEPanel
from common.run.fake import FakeRunner
from tests.common.fakes import manifest

CLIP = MediaHandle(path="/x.mp4", mime="video/mp4")


@pytest.fixture(scope="module")
def panel() -> VACEPanel:
    mode = MODES["vace"]
    with gr.Blocks():
        panel = VACEPanel(FakeRunner(mode, manifest(mode), []), manifest(mode))
        panel.draw()
    return panel


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, ("Inpaint · Provide mask", "needed", "needed")),
        ({"video": CLIP, "prompt": "a star"}, ("Inpaint · Provide mask", "source video · needed", "a star")),
        ({"video": CLIP, "mask": CLIP}, ("Inpaint · Provide mask", "source video · mask", "needed")),
        ({"submode": "layout_bbox", "bbox": [0, 0, 1, 1]}, ("Layout · Moving box", "box · needed", "needed")),
        ({"submode": "nonsense"}, ("Inpaint · Provide mask", "needed", "needed")),
    ],
)
def test_a_head_sums_up_its_step(panel: VACEPanel, values: dict[str, Any], said: tuple[str, ...]) -> None:
    assert tuple(panel.sums({"submode": "inpainting_mask", **values}).values()) == said


@pytest.mark.parametrize("key", SUBMODES)
def test_every_submode_and_mask_source_has_its_sums(panel: VACEPanel, key: str) -> None:
    for source in (None, *SUBMODES[key].mask_sources):
        what = panel.sums({"submode": key, "mask_source": source})["what"]
        assert what.startswith(SUBMODES[key].family)


def test_sums_go_with_the_line_under_generate_and_cannot_break_out(panel: VACEPanel) -> None:
    label = panel._label_html(panel.initial, {"prompt": '"><b>bold</b>'})
    assert '<template class="sums"' in label and "<b>bold" not in label


def test_every_step_but_the_last_leads_on() -> None:
    with gr.Blocks() as page:
        for key in steps.TITLES:
            with steps.step("vace", key, opened=key == "what"):
                pass
    drawn = "".join(str(block.value) for block in page.blocks.values() if isinstance(block, gr.HTML))
    assert drawn.count("step-next") == len(steps.TITLES) - 1
    assert drawn.count('aria-expanded="true"') == 1
    for key in steps.TITLES:
        assert f'aria-controls="vace-{key}-step"' in drawn
