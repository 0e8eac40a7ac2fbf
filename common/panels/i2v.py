"""The panel of image to video: a picture or a frame of a clip, whose aspect suggests the resolution."""

from __future__ import annotations

from common.panels.base import Panel


class I2VPanel(Panel):
    """A source image above the prompt; its aspect picks the resolution."""

    prompt_placeholder = "Slow zoom in, leaves rustling in a light wind"
    aspect_from = "image"
