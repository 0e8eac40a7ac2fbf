"""The pad that a mask is drawn on: Gradio's ImageMask, for one layer of a bounded size."""

from __future__ import annotations

import io
from threading import Lock
from typing import Any

import gradio as gr
from fastapi import HTTPException
from gradio.components.base import server
from gradio.components.image_editor import AcceptBlobs, EditorData, EditorDataBlobs, EditorValue
from gradio.data_classes import FileData

from common.budgets import BUDGETS
from common.errors import MediaError
from common.media.opening import open_picture
from common.panels.handles import NoStub

LAYER_BYTES = BUDGETS.drawing_pixels
"""Of one layer's file: strokes of one colour take a hundredth of a byte a pixel."""
WAITING_BYTES = 32 * LAYER_BYTES
"""Of all layers that were sent and not yet used; the oldest go."""


class DrawingPad(gr.ImageMask, metaclass=NoStub):  # type: ignore[misc]
    """Takes the strokes alone.

    Stock, it keeps whatever anybody sends in memory for good, lets a number choose how long a list becomes, and
    decodes background, layers and composite of any size on the event loop.
    """

    is_template = True
    _sent = Lock()

    def get_block_name(self) -> str:
        return "imageeditor"

    get_block_class = get_block_name

    @server
    def accept_blobs(self, data: AcceptBlobs) -> None:
        """Keeps the layer that a browser sends before the event that uses it."""
        kind, index, name = (str(data.data.get(key, "")) for key in ("type", "index", "id"))
        if kind in ("background", "composite"):
            return  # the frame is known already, and the composite is what nobody asks for
        content = data.files[0][1] if data.files else b""
        if kind != "layer" or index not in ("0", "null", "None") or len(name) > 64:
            raise HTTPException(400, "a drawing has one layer")
        if len(content) > LAYER_BYTES:
            raise HTTPException(413, f"a layer may have {LAYER_BYTES} bytes; this has {len(content)}")
        with self._sent:
            self.blob_storage.pop(name, None)
            self.blob_storage[name] = EditorDataBlobs(background=None, layers=[content], composite=None)
            while sum(map(_bytes, self.blob_storage.values())) > WAITING_BYTES:
                self.blob_storage.pop(next(iter(self.blob_storage)))

    def preprocess(self, payload: EditorData | None) -> EditorValue | None:
        if payload is None:
            return None
        strokes = {"background": None, "composite": None, "layers": payload.layers[:1]}
        return super().preprocess(payload.model_copy(update=strokes))

    def convert_and_format_image(self, file: FileData | bytes | None, flatten_on_white: bool = False) -> Any:
        """A layer as a picture, its header's size checked first."""
        if file is None:
            return None
        source = io.BytesIO(file) if isinstance(file, bytes) else file.path
        try:
            with open_picture(source, "drawing", pixels=BUDGETS.drawing_pixels) as image:
                return image.convert("RGBA")
        except MediaError as error:
            raise gr.Error(error.text, title=error.title, print_exception=False) from error


def _bytes(blobs: EditorDataBlobs) -> int:
    return sum(len(layer or b"") for layer in blobs.layers) + 1000  # an empty one takes memory too
