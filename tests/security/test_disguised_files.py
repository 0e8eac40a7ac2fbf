"""Files that are not what they are called: each is refused by its content with a sentence, and names nothing else."""

from __future__ import annotations

import socket
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.common.panels.test_mask import bomb
from tests.security.attacker import META, Attacker
from tests.security.conftest import ROOT, House
from tests.security.test_small_inputs import ROOM, Memory, below

pytestmark = pytest.mark.slow

CLIP, PICTURE = ((ROOT / "common/examples" / name).read_bytes() for name in ("red-circle.mp4", "red-circle.png"))
SHORT = {"prompt": "a red square", "num_inference_steps": 1, "num_frames": 5}
UNREAD = ("Traceback", "Internal Server Error", "nobody expected")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def text_bomb() -> bytes:
    """A small picture whose comment unpacks to a gigabyte."""
    packed = zlib.compressobj(9)
    comment = b"".join(packed.compress(b"\0" * 10_000_000) for _ in range(100)) + packed.flush()
    return PICTURE[:33] + chunk(b"zTXt", b"Comment\0\0" + comment) + PICTURE[33:]


def referring(url: str) -> bytes:
    """A clip of ours whose track says that its frames lie at an address: `dref` with `url ` in place of `self`."""
    body, at = bytearray(CLIP), CLIP.index(b"dref")
    name = url.encode() + b"\0"
    entry = struct.pack(">I4sI", 12 + len(name), b"url ", 0) + name
    old = struct.unpack(">I", CLIP[at - 4 : at])[0]
    new = struct.pack(">I4sII", 16 + len(entry), b"dref", 0, 1) + entry
    body[at - 4 : at - 4 + old] = new
    grown = len(new) - old
    for box in (b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = body.index(box) - 4
        body[start : start + 4] = struct.pack(">I", struct.unpack(">I", body[start : start + 4])[0] + grown)
    return bytes(body)


@pytest.fixture(scope="module")
def listener() -> Iterator[socket.socket]:
    """Somebody who hears whether an app follows an address in a file."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        yield server


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory, listener: socket.socket) -> dict[str, Path]:
    folder, url = tmp_path_factory.mktemp("evil"), f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    secret = folder / "secret.txt"
    secret.write_text("a secret of this machine")
    svg = f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/><script>1</script></svg>'
    playlist = f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\nfile://{secret}\n#EXTINF:1,\n{url}.ts\n#EXT-X-ENDLIST\n"
    files = {
        "empty.png": b"", "empty.mp4": b"", "picture.svg": svg.encode(), "vector.png": svg.encode(),
        "page.png": b"<html><script>alert(1)</script></html>", "page.mp4": b"<html></html>",
        "playlist.mp4": playlist.encode(), "list.mp4": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "session.mp4": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nu={url}\nm=video 5004 RTP/AVP 96\n".encode(),
        "dash.mp4": f'<?xml version="1.0"?><MPD><Period><BaseURL>{url}</BaseURL></Period></MPD>'.encode(),
        "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
        "wide.png": bomb(), "words.png": text_bomb(), "referring.mp4": referring(url),
        "cut.mp4": CLIP[: len(CLIP) // 2], "cut.png": PICTURE[:60],
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).write_bytes(content)
    archive = folder / "both.png"  # a picture and an archive in one: the archive is what nobody looks at
    archive.write_bytes(PICTURE)
    with zipfile.ZipFile(archive, "a") as zipped:
        zipped.writestr("../../evil.py", "print(1)")
    return {name: folder / name for name in [*files, "both.png"]}


WHOLE = ("both.png", "words.png", "referring.mp4")
"""What is a picture or a clip of ours all the same, and taken as that: nothing else in it is followed or unpacked."""


def test_a_mode_takes_no_file_for_what_it_is_called(
    house: House, evil: dict[str, Path], listener: socket.socket
) -> None:
    attacker = Attacker(house.modes["vace"])
    memory = Memory(below(house.pids))
    for name, file in evil.items():
        slot, task = ("image", "firstframe") if file.suffix != ".mp4" else ("video", "gray")
        answer = attacker.named(
            "generate", **SHORT, submode=task, **{slot: {"path": attacker.upload(file), **META}}
        )
        assert not any(words in answer for words in UNREAD), (name, answer)
        if name not in WHOLE:
            assert "event: error" in answer and slot in answer, (name, answer[-1500:])
        assert "a secret of this machine" not in answer
    assert memory.risen() < ROOM, f"{memory.risen() / 1e6:.0f} MB"
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_no_event_of_the_studio_follows_what_a_file_says(
    studio_house: House, evil: dict[str, Path], listener: socket.socket
) -> None:
    assert studio_house.router
    attacker, tried = Attacker(studio_house.router), 0
    memory = Memory(below(studio_house.pids))
    light = [
        (number, inputs) for number, files, inputs in attacker.events_with_files()
        if len(files) == 1 and len(inputs) <= 4
    ]  # fmt: skip
    uploaded = {name: {"path": attacker.upload(file), **META} for name, file in evil.items()}
    for turn, (number, inputs) in enumerate(light):
        kind = next(part["type"] for part in inputs if part["type"] != "textbox")
        every = kind in ("uploadbutton", "imageeditor")
        for place, (name, handle) in enumerate(uploaded.items()):
            if not every and (place + turn) % 4:  # all of them over the events of a kind
                continue
            drawing = {"background": handle, "layers": [], "composite": handle, "id": None}
            shown = drawing if kind == "imageeditor" else [handle] if kind == "uploadbutton" else handle
            data = [shown if part["type"] == kind else part["props"].get("value") for part in inputs]
            for given in (data, [handle, *data[1:]]) if kind == "uploadbutton" else (data,):
                answer = attacker.call(number, given)
                tried += 1
                assert not any(words in answer for words in UNREAD), (number, kind, name, answer[:1500])
                assert "a secret of this machine" not in answer
    assert tried > 60
    assert memory.risen() < ROOM, f"{memory.risen() / 1e6:.0f} MB"
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_what_a_browser_would_run_is_saved_and_not_shown(house: House, evil: dict[str, Path]) -> None:
    for url in house.apps:
        attacker = Attacker(url)
        for name in ("picture.svg", "page.png", "vector.png"):
            reply = attacker.http.get(f"{url}gradio_api/file={attacker.upload(evil[name])}")
            kind, how = reply.headers["content-type"], reply.headers["content-disposition"]
            assert how.startswith("attachment") or kind == "image/png", (name, kind, how)
            assert "html" not in kind and "svg" not in kind
