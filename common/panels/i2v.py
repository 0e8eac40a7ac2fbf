"""The panel of image to video: a picture or a frame of a clip, whose aspect suggests the resolution."""

from __future__ import annotations

from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS
from common.contract import Plan
from common.modes.i2v import HYBRID
from common.panels.base import Panel
from common.panels.events import QUIET
from common.panels.own import ModeDefaults


class I2VPanel(Panel):
    """A source image above the prompt; its aspect picks the resolution."""

    prompt_placeholder = "Slow zoom in, leaves rustling in a light wind"
    aspect_from = "image"
    presets = (*Panel.presets, "hybrid")

    def draw_slots(self) -> None:
        super().draw_slots()
        label = "Join: one video of the whole clip and what follows"
        self.inputs.add("join", gr.Checkbox(False, label=label, visible=False))

    def draw_advanced(self) -> None:
        self.inputs.add("hybrid", gr.Checkbox(False, label="Hybrid Fast on Wan 2.2: the Wan 2.1 LoRA"))

    def preset_updates(self, plan: Plan, own: ModeDefaults) -> dict[str, Any]:
        updates = super().preset_updates(plan, own)
        if own.hybrid:
            fits = HYBRID in CHECKPOINTS[plan.checkpoint].other_loras
            updates["hybrid"] = fits and plan.preset == "fast"
        return updates

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]:
        """A hidden tick says nothing: only the end of a clip can be gone on from."""
        values, shown = super().values(raw), dict(zip(self.inputs.components, raw, strict=True))
        if not _ends(shown["image_source"], shown["image_moment"]):
            values.pop("join", None)
        return values

    def wire_more(self) -> None:
        parts = self.inputs.components
        which = [parts["image_source"], parts["image_moment"]]
        gr.on(
            [part.change for part in which], lambda *now: gr.update(visible=_ends(*now)), which, parts["join"],
            **QUIET,
        )  # fmt: skip


def _ends(source: object, moment: object) -> bool:
    return source == "clip" and moment == "last"
