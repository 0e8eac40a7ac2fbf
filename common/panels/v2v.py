"""The panel of video to video: a clip, how much of it changes, and the new look."""

from __future__ import annotations

from common.panels import widgets
from common.panels.base import Panel
from common.panels.numbers import Slider


class V2VPanel(Panel):
    """A source clip with a strength; the result is as long as the clip unless asked otherwise."""

    prompt_placeholder = "A soft watercolour painting, visible brush strokes, paper grain"
    aspect_from = "video"

    def draw_slots(self) -> None:
        super().draw_slots()
        self.inputs.add(
            "strength",
            Slider(
                0.05, 1, 0.7, step=0.05, label="Strength", buttons=[],
                info="How much changes: 0.3 touches up, 0.7 restyles, 1 forgets the clip",
            ),
        )  # fmt: skip
        widgets.whole_clip(self.inputs)

    def wire_more(self) -> None:
        widgets.wire_whole_clip(self.inputs)
