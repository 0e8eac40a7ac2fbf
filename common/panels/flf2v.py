"""The panel of first and last frame: two pictures side by side, the second given or made from words."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from common.contract import Done
from common.errors import StudioError, UnavailableError
from common.panels import widgets
from common.panels.base import QUIET, Panel
from common.runner import explain

LOCKED = "The start frame sets the aspect ratio; the end frame is cropped to it."
LAST = ("last_image_source", "last_image_clip", "last_image_moment")


class FLF2VPanel(Panel):
    """Start and end frame above the transition prompt; the start frame decides the shape of the video."""

    prompt_placeholder = "A penguin spreads its wings and takes flight (中文提示词效果更好)"
    aspect_from = "image"
    advanced_open = True

    def draw_slots(self) -> None:
        start, end = self.mode.slots
        with gr.Row(elem_classes="tight"):
            with gr.Column(min_width=180):
                gr.HTML(
                    f'<p class="dim" title="{LOCKED}">▶ AR locked from the start frame</p>',
                    elem_classes="over",
                )
                widgets.media_slot(self.inputs, start, frame_choice=True)
            with gr.Column(min_width=180), gr.Tabs():
                with gr.Tab("Upload"):
                    widgets.media_slot(self.inputs, end, frame_choice=True)
                    self.inputs.components["last_image_moment"].value = "last"
                with gr.Tab("Generate"):
                    self._draw_maker()

    def _draw_maker(self) -> None:
        words = gr.Textbox(label="End frame", lines=3, placeholder="A penguin in mid-air, wings spread wide")
        make = gr.Button("Make the end frame", size="sm")
        said = gr.HTML('<p class="dim">A still from Text to Video, at the size chosen below.</p>')
        self._maker = (words, make, said)

    def wire_more(self) -> None:
        words, make, said = self._maker
        make.click(
            self._make_end,
            [words, self.inputs.components["resolution"]],
            [said, *[self.inputs.components[name] for name in LAST]],
            **QUIET,
        )

    async def _make_end(self, words: str, resolution: str, request: gr.Request) -> list[Any]:
        nothing = [gr.skip()] * len(LAST)
        try:
            still = await self._still(words, widgets.read_resolution({"resolution": resolution}), request)
        except Exception as error:
            known = explain(error)
            return [f'<p class="notice" role="alert">{escape(known.text)}</p>', *nothing]
        return ['<p class="dim">The end frame is under Upload.</p>', "clip", still, "last"]

    async def _still(self, words: str, size: Mapping[str, int], request: gr.Request) -> Any:
        if self.neighbour is None:
            raise UnavailableError("Stills come from Text to Video, which is another Space; open the Studio")
        values = {"prompt": words, "num_frames": 1, **size}
        stills = self.neighbour("t2v").stream(values, dict(request.headers))
        async with aclosing(stills):
            async for video, event in stills:
                if isinstance(event, Done) and video is not None:
                    return video
        raise StudioError("Text to Video ended without a still")
