"""Bad files get one line that names the input, the rule and the way out."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError
from common.runtime import media
from common.runtime.reader import Reader


def handle(path: Path, **values) -> MediaHandle:
    return MediaHandle(path=str(path), **values)


def png_header(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    import av

    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=4)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for shade in (0, 60, 120, 180, 240):
            picture = np.full((64, 64, 3), shade, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.png", b"", "empty file"),
        ("text.png", b"hello", "not a readable picture"),
        ("cut.png", png_header(64, 64), "not a readable picture"),
        ("bomb.png", png_header(30_000, 30_000), "megapixels"),
        ("large.png", png_header(9_000, 9_000), "64 megapixels; got 9000x9000"),
    ],
)
def test_bad_pictures(tmp_path, name, content, text):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(MediaError, match=text) as caught:
        media.open_image(handle(path), "image")
    assert caught.value.field == "image" and caught.value.text.startswith("image ")
    assert str(tmp_path) not in caught.value.text


def test_missing_heavy_and_remote_files(tmp_path):
    with pytest.raises(MediaError, match="expired"):
        media.open_image(handle(tmp_path / "gone.png"), "image")
    with pytest.raises(MediaError, match="has no file"):
        media.open_image(handle(tmp_path), "image")
    heavy = tmp_path / "heavy.png"
    with heavy.open("wb") as file:
        file.truncate(BUDGETS.image_bytes + 1)
    with pytest.raises(MediaError, match="at most 50 MB"):
        media.open_image(handle(heavy), "image")
    with pytest.raises(MediaError, match="URL"):
        media.open_image(MediaHandle(path="http://example.org/a.png"), "image")


def test_pictures_are_upright_opaque_and_rgb(tmp_path):
    rotated = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "r.jpg", exif=exif)
    assert media.open_image(handle(tmp_path / "r.jpg"), "image").size == (20, 40)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert media.open_image(handle(tmp_path / "a.png"), "image").getpixel((4, 4)) == (255, 255, 255)
    Image.new("L", (8, 8), 7).save(tmp_path / "g.png")
    assert media.open_image(handle(tmp_path / "g.png"), "image").mode == "RGB"


def test_fit_cuts_the_centre_and_says_so():
    picture = Image.new("RGB", (300, 100), "blue")
    picture.paste("red", (100, 0, 200, 100))
    fitted = media.fit(picture, 128, 128)
    assert fitted.image.size == (128, 128)
    assert fitted.image.getpixel((5, 64)) == (255, 0, 0)
    assert fitted.notice is not None and "300x100" in fitted.notice and "67%" in fitted.notice
    assert media.fit(Image.new("RGB", (256, 256)), 128, 128).notice is None


@pytest.mark.parametrize(
    ("image_from", "shade"), [("first", 0), ("last", 240), (0.3, 60), (0.5, 120), (1.2, 240)]
)
def test_a_clip_gives_the_chosen_frame(clip, image_from, shade):
    picture = Reader().frame(handle(clip), "image", image_from)
    assert abs(picture.getpixel((32, 32))[0] - shade) < 12


def test_a_moment_beyond_the_end_is_an_error(clip):
    with pytest.raises(MediaError, match=r"image_from must lie within the clip of 1\.25 s; got 9 s"):
        Reader().frame(handle(clip), "image", 9)
    with pytest.raises(MediaError, match=r"last_image_from must lie within"):
        Reader().frame(handle(clip), "last_image", 9)


def test_a_clip_is_measured(clip):
    known = Reader().measured(handle(clip, mime="video/mp4"), "image")
    assert (known.width, known.height, known.frames, known.fps, known.seconds) == (64, 64, 5, 4.0, 1.25)
    assert known.sha256 == media.sha256(clip)
    assert len(Reader().clip(known, "video", 4, 99)) == 5


def test_a_phones_clip_stands_upright_however_it_is_read(tmp_path):
    """Against ffmpeg, which turns a clip by the matrix that phones write."""
    wide, lying, seen = (tmp_path / name for name in ("wide.mp4", "lying.mp4", "seen.png"))
    quiet = ["ffmpeg", "-v", "error", "-y"]
    stripes = "testsrc=size=96x64:rate=4:duration=1"
    subprocess.run([*quiet, "-f", "lavfi", "-i", stripes, "-pix_fmt", "yuv420p", str(wide)], check=True)
    data = bytearray(wide.read_bytes())
    matrix = data.index(b"tkhd") + 44  # of a version 0 box
    data[matrix : matrix + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 64 << 16, 0, 1 << 30)
    lying.write_bytes(data)
    subprocess.run([*quiet, "-i", str(lying), "-frames:v", "1", str(seen)], check=True)
    wanted = np.asarray(Image.open(seen).convert("RGB"), int)
    known = Reader().measured(handle(lying), "image")
    assert (known.width, known.height) == (64, 96)
    for picture in (Reader().frame(known, "image"), Reader().clip(known, "video", 4, 1)[0]):
        assert np.abs(np.asarray(picture, int) - wanted).mean() < 3


def test_bad_clips(tmp_path, clip):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0" * 500)
    with pytest.raises(MediaError, match="not a readable clip"):
        Reader().frame(handle(broken), "image")
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(clip.read_bytes()[:400])
    with pytest.raises(MediaError, match=r"not a readable clip|no frames"):
        Reader().measured(handle(cut), "video")
