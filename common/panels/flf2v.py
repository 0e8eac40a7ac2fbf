"""The panel of first and last frame: two pictures side by side, the second given or made from words."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from common.contract import Done
from common.errors import StudioError, UnavailableError
from common.panels import widgets
from common.panels.base import QUIET, Panel
from common.panels.card import Card
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
        self._words = gr.Textbox(
            label="End frame", lines=3, placeholder="A penguin in mid-air, wings spread wide"
        )
        with gr.Row(elem_classes="actions"):
            self._make = gr.Button("Make the end frame", size="sm", scale=3)
            self._halt = gr.Button("Stop", variant="stop", size="sm", visible=False, scale=1)
        self._said = gr.HTML(_dim("A still from Text to Video, at the size chosen below."))

    def wire_more(self) -> None:
        strip = [self._said, self._make, self._halt]
        making = self._make.click(
            self._make_end,
            [self._words, self.inputs.components["resolution"]],
            [*strip, *[self.inputs.components[name] for name in LAST]],
            show_progress="hidden", api_visibility="private", concurrency_limit=None,
        )  # fmt: skip
        self._halt.click(lambda: _strip(Card().stopped().card()), None, strip, cancels=[making], **QUIET)

    async def _make_end(
        self, words: str, resolution: str, request: gr.Request
    ) -> AsyncGenerator[list[Any], None]:
        card, nothing = Card.clicked(), [gr.skip()] * len(LAST)
        size = widgets.read_resolution({"resolution": resolution})
        yield [*_strip(card.card(), busy=True), *nothing]
        try:
            if self.neighbour is None:
                raise UnavailableError(
                    "Stills come from Text to Video, which is another Space; open the Studio"
                )
            values = {"prompt": words, "num_frames": 1, **size}
            async with aclosing(self.neighbour("t2v").stream(values, dict(request.headers))) as stills:
                async for video, event in stills:
                    if isinstance(event, Done) and video is not None:
                        said = _dim("The end frame is under Upload.")
                        yield [*_strip(said), "clip", video, "last"]
                        return
                    card = card.after(event)
                    yield [card.card(), gr.skip(), gr.skip(), *nothing]
            raise StudioError("Text to Video ended without a still")
        except Exception as error:
            said = f'<p class="notice" role="alert">{escape(explain(error).text)}</p>'
            yield [*_strip(said), *nothing]


def _dim(text: str) -> str:
    return f'<p class="dim">{text}</p>'


def _strip(said: str, *, busy: bool = False) -> list[Any]:
    """What stands under the words, and its two buttons."""
    return [said, gr.update(interactive=not busy), gr.update(visible=busy)]
