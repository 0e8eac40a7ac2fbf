"""The mask and the boxes of VACE: given as a file or in words, or drawn in the browser on a frame."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
from functools import partial
from math import isqrt
from typing import Any

import gradio as gr
import numpy as np
from gradio.processing_utils import save_pil_to_cache
from PIL import Image

from common import cache
from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError
from common.media.opening import open_picture
from common.panels.drawing import DrawingPad
from common.panels.events import ONCE, QUIET
from common.panels.handles import HandleImage, HandleVideo
from common.panels.numbers import Number
from common.panels.widgets import Inputs, Raw

MAX_SIDE = isqrt(BUDGETS.drawing_pixels)
MAX_TEXT = 2 * BUDGETS.drawing_pixels
"""Characters of a frame sent as base64: a JPEG takes less than a byte a pixel, even of noise."""
NO_FRAME = "Give what is drawn on first; a file from another site cannot be drawn on: upload it instead."
NOTHING = "Nothing is painted yet: open the frame and paint on it."
ONE_BY_ONE: dict[str, Any] = {**ONCE, "queue": True, "concurrency_limit": 1, "concurrency_id": "drawing"}
"""For what decodes a picture: a hundred visitors wait in line, and do not decode at once."""


@dataclass
class Pad:
    """A frame to draw on, opened by a button, and words about it."""

    draw: gr.Button
    editor: DrawingPad
    said: gr.HTML

    def opens(self, frame: str, inputs: list[Any], also: list[Any] | None = None) -> None:
        """Wires the button. `frame` is a script that makes a data URL of `inputs`; `also` is shown with the pad.

        The browser has the picture already: no Space has to open it, and the router must not.
        """
        also, grabbed = also or [], gr.Textbox(visible=False)
        shown = [self.editor, self.said, *also]
        self.draw.click(None, inputs, grabbed, js=frame, **QUIET).then(
            partial(_show_frame, also=len(also)), grabbed, shown, **ONE_BY_ONE
        )


def _editor(name: str, label: str) -> DrawingPad:
    return DrawingPad(
        label=label, type="pil", visible=False, height=380, layers=False, transforms=(),
        brush=gr.Brush(colors=["#ffffff"], color_mode="fixed", default_size=24), sources=(),
        elem_id=f"{name}-editor",
    )  # fmt: skip


def draw_mask(inputs: Inputs, source_id: str) -> Pad:
    """The slot: upload a picture or a clip, or draw on the frame that the source video shows, whichever that is."""
    kind = gr.Radio(
        [("Picture", "picture"), ("Clip", "clip")], value="picture", label="Mask: white is made anew",
        elem_classes="segmented",
    )  # fmt: skip
    picture = HandleImage(show_label=False, sources=["upload", "clipboard"], height=160, image_mode=None)
    clip = HandleVideo(show_label=False, sources=["upload"], height=160, visible=False, autoplay=False)
    for name, component in (("mask_kind", kind), ("mask_picture", picture), ("mask_clip", clip)):
        inputs.add(name, component)
    inputs.readers.append(_read)
    kind.change(
        lambda value: [gr.update(visible=value == "picture"), gr.update(visible=value == "clip")],
        kind, [picture, clip], **QUIET,
    )  # fmt: skip
    draw = gr.Button("Draw on the video's frame", size="sm", elem_id=f"{source_id}-draw")
    pad = Pad(draw, _editor(source_id, "Paint what is made anew"), gr.HTML(""))
    use = gr.Button("Use the drawing as mask", size="sm", visible=False, elem_id=f"{source_id}-use")
    pad.opens(f"() => [window.wanClips.frame('#{source_id} video', {MAX_SIDE})]", [], [use])
    use.click(_as_mask, pad.editor, [kind, picture, pad.said, pad.editor, use], **ONE_BY_ONE)
    return pad


def draw_moment(inputs: Inputs, source_id: str, pad: Pad) -> None:
    """The moment of the frame that a mask lies on, where it is tracked from there: that of the frame drawn on.

    Who changes it has the video stand there, to draw on that frame.
    """
    video = f"document.querySelector('#{source_id} video')"
    second = inputs.add(
        "mask_second",
        Number(0, label="The mask lies on the frame at (s)", minimum=0, step=0.01, elem_id=f"{source_id}-second"),
    )  # fmt: skip
    inputs.readers.append(lambda raw: {"mask_from": float(raw["mask_second"] or 0) or None})
    pad.draw.click(
        None, second, second, js=f"(now) => {video} ? Math.round({video}.currentTime * 1e4) / 1e4 : now", **QUIET
    )
    stand = f"(at) => {{ const v = {video}; if (v && at >= 0) {{ v.pause(); v.currentTime = at; }} }}"
    second.input(None, second, None, js=stand, **QUIET)


def draw_box(inputs: Inputs, name: str, label: str, example: str) -> Pad:
    """A box in words, and beside it the means to draw it; the caller says what the pad opens on."""
    field = inputs.add(name, gr.Textbox(label=label, placeholder=example))
    page = f"{inputs.page}-{name}"
    with gr.Row(elem_classes="tight"):
        draw = gr.Button("Draw it on the frame", size="sm", elem_id=f"{page}-draw")
        use = gr.Button("Use its bounds", size="sm", elem_id=f"{page}-use")
    pad = Pad(draw, _editor(page, "Paint over it: the box lies around what you paint"), gr.HTML(""))
    use.click(_as_box, pad.editor, [field, pad.said, pad.editor], **ONE_BY_ONE)
    return pad


def _read(raw: Raw) -> dict[str, Any]:
    return {"mask": raw["mask_clip"] if raw["mask_kind"] == "clip" else raw["mask_picture"]}


def _show_frame(data: str | None, also: int = 0) -> list[Any]:
    try:
        image = grabbed_frame(data or "")
    except (MediaError, ValueError) as error:
        text = str(error) if isinstance(error, MediaError) else NO_FRAME
        return [gr.skip(), _note(text), *[gr.skip()] * also]
    shown = {"background": image, "layers": [], "composite": None}
    return [gr.update(value=shown, visible=True), "", *(gr.update(visible=True) for _ in range(also))]


def grabbed_frame(data: str) -> Image.Image:
    """The frame in a data URL; ValueError where there is none, MediaError for one that a browser never sends."""
    if len(data) > MAX_TEXT:
        raise MediaError("frame", f"must be at most {MAX_TEXT} characters of base64", got=len(data))
    content = base64.b64decode(data.partition(",")[2], validate=True)
    if not content:
        raise ValueError("no frame")
    with open_picture(io.BytesIO(content), "frame", pixels=BUDGETS.drawing_pixels) as image:
        return image.convert("RGB")


def painted(value: dict[str, Any] | None) -> Image.Image | None:
    """What was painted, white on black; None where nothing was."""
    layers = (value or {}).get("layers") or []
    if not value or not layers:
        return None
    alpha = np.max([np.asarray(layer.convert("RGBA"))[..., 3] for layer in layers], axis=0)
    return Image.fromarray(np.where(alpha > 0, 255, 0).astype(np.uint8)) if alpha.any() else None


def _as_mask(value: dict[str, Any] | None) -> list[Any]:
    mask = painted(value)
    if mask is None:
        return [gr.skip(), gr.skip(), _note(NOTHING), gr.skip(), gr.skip()]
    everything = _note("All of it is painted: nothing of the video is kept.") if mask.getextrema()[0] else ""
    path = save_pil_to_cache(mask, str(cache.root()), format="png")
    hidden = [gr.update(visible=False) for _ in range(2)]
    return ["picture", MediaHandle(path=path, mime="image/png", orig_name="mask.png"), everything, *hidden]


def _as_box(value: dict[str, Any] | None) -> list[Any]:
    box = bounds(value)
    return [box, "", gr.update(visible=False)] if box else [gr.skip(), _note(NOTHING), gr.skip()]


def bounds(value: dict[str, Any] | None) -> str:
    """Left, top, right, bottom of what is painted, as shares of the frame."""
    mask = painted(value)
    box = mask.getbbox() if mask else None
    if mask is None or box is None:
        return ""
    (w, h), (left, top, right, bottom) = mask.size, box
    return ",".join(f"{v:.3f}" for v in (left / w, top / h, right / w, bottom / h))


def _note(text: str) -> str:
    return f'<p class="notice">{html.escape(text)}</p>'
