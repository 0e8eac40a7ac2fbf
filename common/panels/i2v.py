"""The panel of image to video: a picture or a frame of a clip, whose aspect suggests the resolution."""

from __future__ import annotations

import gradio as gr

from common.panels.base import Panel


class I2VPanel(Panel):
    """A source image above the prompt; its aspect picks the resolution."""

    prompt_placeholder = "Slow zoom in, leaves rustling in a light wind"
    aspect_from = "image"

    def draw_advanced(self) -> None:
        self.inputs.add("hybrid", gr.Checkbox(False, label="Hybrid Fast on Wan 2.2: the Wan 2.1 LoRA"))
