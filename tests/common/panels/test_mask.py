"""The drawn mask: what a browser sends is taken, and nothing that only an attacker would."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import gradio as gr
import pytest
from fastapi import HTTPException
from gradio.components.image_editor import AcceptBlobs, EditorData
from gradio.data_classes import FileData
from PIL import Image, ImageFile

from common.budgets import BUDGETS
from common.errors import MediaError
from common.modes.all import MODES
from common.panels import drawing, mask
from common.panels.drawing import DrawingPad
from tests.common.fakes import FakeService


def bomb(side: int = 13_000) -> bytes:
    """A PNG of one colour: 26 KB for 13000x13000."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(side * (side // 8 + 2)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def as_url(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def png(width: int = 64, height: int = 48, colour: Any = (255, 255, 255, 255)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGBA", (width, height), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", never)


def test_a_grabbed_frame_becomes_the_background() -> None:
    assert mask.grabbed_frame(as_url(png())).size == (64, 48)
    shown, said, use = mask._show_frame(as_url(png()), also=1)
    assert shown["value"]["background"].size == (64, 48) and use["visible"] and said == ""


def test_a_bomb_of_26_kb_costs_its_header(undecoded: None) -> None:
    content = bomb()
    assert len(content) < 30_000
    with pytest.raises(MediaError, match=r"frame must be at most 1\.64 megapixels; got 13000x13000"):
        mask.grabbed_frame(as_url(content))
    assert "got 13000x13000" in mask._show_frame(as_url(content))[1]
    with pytest.raises(MediaError, match="megapixels"):  # beyond what Pillow itself allows
        mask.grabbed_frame(as_url(bomb(40_000)))


def test_a_long_text_is_not_even_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> bytes:
        raise AssertionError("read")

    monkeypatch.setattr(base64, "b64decode", never)
    with pytest.raises(MediaError, match="characters of base64"):
        mask.grabbed_frame("data:image/png;base64," + "A" * mask.MAX_TEXT)


@pytest.mark.parametrize(
    "data", [None, "", "x", "data:,", "data:image/png;base64,####", as_url(b"hello"), "\ud800,é"]
)
def test_what_is_no_frame_asks_for_a_video(data: str) -> None:
    skipped, said = mask._show_frame(data)
    assert skipped == gr.skip() and "notice" in said


def test_the_largest_frame_that_a_browser_sends_is_taken() -> None:
    buffer = io.BytesIO()
    side = mask.MAX_SIDE
    Image.effect_noise((side, side), 200).convert("RGB").save(buffer, "JPEG", quality=90)
    assert mask.grabbed_frame(as_url(buffer.getvalue())).size == (side, side)


def drawing_of(area: tuple[int, int, int, int] | None, size: tuple[int, int] = (64, 48)) -> dict[str, Any]:
    """What the pad hands on once `area` was painted."""
    layer = Image.new("RGBA", size, (0, 0, 0, 0))
    if area:
        layer.paste((255, 255, 255, 255), area)
    return {"background": None, "composite": None, "layers": [layer]}


def test_a_box_lies_around_what_is_painted() -> None:
    box, said, editor = mask._as_box(drawing_of((16, 12, 48, 36)))
    assert (box, said, editor["visible"]) == ("0.250,0.250,0.750,0.750", "", False)


@pytest.mark.parametrize("used", [mask._as_mask, mask._as_box])
@pytest.mark.parametrize("value", [None, drawing_of(None)])
def test_an_empty_drawing_is_not_used(used: Any, value: Any) -> None:
    updates = used(value)
    notes = [u for u in updates if u != gr.skip()]
    assert len(notes) == 1 and "Nothing is painted yet" in notes[0]


def test_a_mask_that_is_white_all_over_says_that_nothing_is_kept() -> None:
    assert "nothing of the video is kept" in mask._as_mask(drawing_of((0, 0, 64, 48)))[2]
    assert mask._as_mask(drawing_of((0, 0, 64, 47)))[2] == ""


# ---------------------------------------------------------------------- the pad


def sent(kind: str, content: bytes, index: str | None = "0", name: str = "id") -> AcceptBlobs:
    data: Any = {"type": kind, "index": index, "id": name, "file": b""}
    return AcceptBlobs.model_construct(data=data, files=[("file", content)])


@pytest.fixture
def pad() -> DrawingPad:
    return DrawingPad(type="pil", layers=False)


def test_strokes_arrive_and_are_forgotten_once_used(pad: DrawingPad) -> None:
    pad.accept_blobs(sent("background", bomb(), None))
    pad.accept_blobs(sent("layer", png()))
    pad.accept_blobs(sent("composite", bomb(), None))
    value: Any = pad.preprocess(EditorData(id="id"))
    drawn = mask.painted(value)
    assert drawn is not None and drawn.size == (64, 48) and drawn.getbbox() == (0, 0, 64, 48)
    assert value["background"] is None and not pad.blob_storage
    again: Any = pad.preprocess(EditorData(id="id"))
    assert mask.painted(again) is None


def test_a_layer_that_is_a_bomb_costs_its_header(pad: DrawingPad, undecoded: None, tmp_path) -> None:
    pad.accept_blobs(sent("layer", bomb()))
    with pytest.raises(gr.Error, match=r"drawing must be at most 1\.64 megapixels; got 13000x13000"):
        pad.preprocess(EditorData(id="id"))
    (tmp_path / "bomb.png").write_bytes(bomb())
    file = FileData(path=str(tmp_path / "bomb.png"))
    with pytest.raises(gr.Error, match="got 13000x13000"):
        pad.preprocess(EditorData(background=file, layers=[file] * 1000, composite=file))


def test_only_the_first_of_many_layers_is_opened(pad: DrawingPad, tmp_path) -> None:
    (tmp_path / "l.png").write_bytes(png())
    file = FileData(path=str(tmp_path / "l.png"))
    value = pad.preprocess(EditorData(background=file, layers=[file] * 1000, composite=file))
    assert value is not None and len(value["layers"]) == 1


@pytest.mark.parametrize(
    "data",
    [
        sent("layer", b"x", "1000000000"),  # stock, this index allocates a list of 8 GB
        sent("layer", b"x", "-1"),
        sent("else", b"x"),
        sent("layer", b"x", name="n" * 65),
        sent("layer", bytes(drawing.LAYER_BYTES + 1)),
    ],
)
def test_what_no_browser_sends_is_refused(pad: DrawingPad, data: AcceptBlobs) -> None:
    with pytest.raises(HTTPException):
        pad.accept_blobs(data)
    assert not pad.blob_storage


def test_unused_drawings_do_not_pile_up(pad: DrawingPad) -> None:
    for number in range(40):
        pad.accept_blobs(sent("layer", bytes(BUDGETS.drawing_pixels), name=str(number)))
    assert sum(len(b.layers[0] or b"") for b in pad.blob_storage.values()) <= drawing.WAITING_BYTES
    assert list(pad.blob_storage)[-1] == "39" and "0" not in pad.blob_storage


DECODES = (mask._show_frame, mask._as_mask, mask._as_box)


def test_what_decodes_pictures_waits_in_one_line(tmp_path) -> None:
    from tests.common.fakes import space_of

    app = space_of(FakeService(MODES["vace"], tmp_path))
    decoding = [f for f in app.fns.values() if getattr(f.fn, "func", f.fn) in DECODES]
    assert len(decoding) == 6, "a mask and two boxes, each opened and used"
    for event in decoding:
        assert event.queue is not False and (event.concurrency_limit, event.concurrency_id) == (1, "drawing")
    editors = [b for b in app.blocks.values() if isinstance(b, DrawingPad)]
    assert editors and all(e.get_block_name() == "imageeditor" for e in editors)
