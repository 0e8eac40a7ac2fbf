"""The panel of image to video: a picture or a frame of a clip, whose aspect suggests the resolution."""

from __future__ import annotations

from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS
from common.contract import Plan
from common.modes.i2v import HYBRID
from common.panels.base import Panel
from common.panels.own import ModeDefaults


class I2VPanel(Panel):
    """A source image above the prompt; its aspect picks the resolution."""

    prompt_placeholder = "Slow zoom in, leaves rustling in a light wind"
    aspect_from = "image"
    presets = (*Panel.presets, "hybrid")

    def draw_advanced(self) -> None:
        self.inputs.add("hybrid", gr.Checkbox(False, label="Hybrid Fast on Wan 2.2: the Wan 2.1 LoRA"))

    def preset_updates(self, plan: Plan, own: ModeDefaults) -> dict[str, Any]:
        updates = super().preset_updates(plan, own)
        if own.hybrid:
            fits = HYBRID in CHECKPOINTS[plan.checkpoint].other_loras
            updates["hybrid"] = fits and plan.preset == "fast"
        return updates
