"""The mask of VACE: a picture, a clip, or drawn in the browser on a frame of the source video."""

from __future__ import annotations

import base64
import html
import io
from dataclasses import dataclass
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
from common.opening import open_picture
from common.panels.drawing import DrawingPad
from common.panels.handles import HandleImage, HandleVideo
from common.panels.widgets import Inputs, Raw

MAX_SIDE = isqrt(BUDGETS.drawing_pixels)
MAX_TEXT = 2 * BUDGETS.drawing_pixels
"""Characters of a frame sent as base64: a JPEG takes less than a byte a pixel, even of noise."""
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ONE_BY_ONE: dict[str, Any] = QUIET | {"queue": True, "concurrency_limit": 1, "concurrency_id": "drawing"}
"""For what decodes a picture: a hundred visitors wait in line, and do not decode at once."""

# The browser has the video already: no Space has to open it, and the router must not.
GRAB = """(...args) => {
    const video = document.querySelector('#%s video');
    if (!video || !video.videoWidth) return [''];
    const scale = Math.min(1, %d / Math.max(video.videoWidth, video.videoHeight));
    const canvas = document.createElement('canvas');
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext('2d').drawImage(video, 0, 0, canvas.width, canvas.height);
    try { return [canvas.toDataURL('image/jpeg', 0.9)]; } catch (error) { return ['']; }
}"""


@dataclass
class MaskInput:
    """The parts of the mask's input that others wire or show."""

    draw: gr.Button
    editor: DrawingPad
    use: gr.Button
    box: gr.Button
    said: gr.HTML


def draw_mask(inputs: Inputs, source_id: str) -> MaskInput:
    """The slot: upload a picture or a clip, or draw on the frame that the source video shows."""
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
    editor = DrawingPad(
        label="Paint what is made anew", type="pil", visible=False, height=380, layers=False, transforms=(),
        brush=gr.Brush(colors=["#ffffff"], color_mode="fixed", default_size=24), sources=(),
        elem_id=f"{source_id}-editor",
    )  # fmt: skip
    with gr.Row(elem_classes="tight"):
        use = gr.Button("Use the drawing as mask", size="sm", visible=False, elem_id=f"{source_id}-use")
        box = gr.Button("Use its bounds as box", size="sm", visible=False, elem_id=f"{source_id}-box")
    said = gr.HTML("")
    grabbed = gr.Textbox(visible=False)
    draw.click(None, None, grabbed, js=GRAB % (source_id, MAX_SIDE), **QUIET).then(
        _show_frame, grabbed, [editor, use, box, said], **ONE_BY_ONE
    )
    use.click(_as_mask, editor, [kind, picture, said, editor, use, box], **ONE_BY_ONE)
    return MaskInput(draw, editor, use, box, said)


def _read(raw: Raw) -> dict[str, Any]:
    return {"mask": raw["mask_clip"] if raw["mask_kind"] == "clip" else raw["mask_picture"]}


def _show_frame(data: str | None) -> list[Any]:
    try:
        image = grabbed_frame(data or "")
    except (MediaError, ValueError) as error:
        text = "Load a source video first; one from another site cannot be drawn on: upload a mask instead."
        return [gr.skip(), gr.skip(), gr.skip(), _note(str(error) if isinstance(error, MediaError) else text)]
    shown = {"background": image, "layers": [], "composite": None}
    return [gr.update(value=shown, visible=True), gr.update(visible=True), gr.update(visible=True), ""]


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
        return [gr.skip(), gr.skip(), _note("Nothing is painted yet."), *[gr.skip()] * 3]
    path = save_pil_to_cache(mask, str(cache.root()), format="png")
    hidden = [gr.update(visible=False) for _ in range(3)]
    return ["picture", MediaHandle(path=path, mime="image/png", orig_name="mask.png"), "", *hidden]


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
