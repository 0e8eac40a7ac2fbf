"""The panel of first and last frame: two pictures side by side, the second given or made from words."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from common.contract import Done
from common.errors import Cancelled, StudioError, UnavailableError
from common.panels import widgets
from common.panels.base import Panel
from common.panels.card import Card
from common.panels.events import ONCE, QUIET, TOLD
from common.panels.stopping import until
from common.run.runner import Progress, explain

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
        job = gr.Textbox(visible=False)
        strip = [self._said, self._make, self._halt]
        at_once = json.dumps(_strip(Card.clicked().card(), busy=True))
        self._make.click(
            None, None, [job, *strip],
            js=f"() => [window.wanJob(), ...{at_once}]", **QUIET,
        ).then(
            self._make_end,
            [job, self._words, self.inputs.components["resolution"]],
            [*strip, *[self.inputs.components[name] for name in LAST]],
            **TOLD,
        )  # fmt: skip
        self._halt.click(
            None, None, [self._said, self._halt],
            js=f"() => {json.dumps([Card.stopping().card(), gr.update(interactive=False)])}", **QUIET,
        )  # fmt: skip
        self._halt.click(self._stop_end, job, strip, **ONCE)

    async def _make_end(
        self, job: str, words: str, resolution: str, request: gr.Request
    ) -> AsyncGenerator[list[Any], None]:
        card, slot = Card.clicked(), [gr.skip()] * len(LAST)
        stop = self.stops.begin(job)
        try:
            async with aclosing(until(stop, self._still(job, words, resolution, request))) as stills:
                async for video, event in stills:
                    if isinstance(event, Done) and video is not None:
                        said, slot = _dim("The end frame is under Upload."), ["clip", video, "last"]
                        break
                    card = card.after(event)
                    yield [card.card(), gr.skip(), gr.skip(), *slot]
                else:
                    raise StudioError("Text to Video ended without a still")
        except Cancelled:
            said = card.stopped().card()
        except Exception as error:
            said = f'<p class="notice" role="alert">{escape(self.in_words(explain(error)).text)}</p>'
        finally:
            self.stops.end(job)
        yield [*_strip(said), *slot]

    def _still(
        self, job: str, words: str, resolution: str, request: gr.Request
    ) -> AsyncGenerator[Progress, None]:
        if self.neighbour is None:
            raise UnavailableError("Stills come from Text to Video, which is another Space; open the Studio")
        size = widgets.read_resolution({"resolution": resolution})
        values = {"prompt": words, "num_frames": 1, **size}
        return self.neighbour("t2v").stream(values, dict(request.headers), job)

    async def _stop_end(self, job: str) -> list[Any]:
        return [gr.skip()] * 3 if self.stops.stop(job) else _strip(Card.clicked().stopped().card())


def _dim(text: str) -> str:
    return f'<p class="dim">{text}</p>'


def _strip(said: str, *, busy: bool = False) -> list[Any]:
    """What stands under the words, and its two buttons."""
    return [said, gr.update(interactive=not busy), gr.update(visible=busy, interactive=True)]
