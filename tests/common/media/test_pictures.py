"""Bad files get one line that names the input, the rule and the way out."""

from __future__ import annotations

import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from common.annotate.frames import letterbox
from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import MediaError
from common.media import files, pictures
from common.runtime.reader import Reader


def handle(path: Path, **values) -> MediaHandle:
    return MediaHandle(path=str(path), **values)


def png_header(width: int, height: int, data: bytes | None = None) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = (
        chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"") if data is None else data)
        + chunk(b"IEND", b"")
    )
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
        pictures.open_image(handle(path), "image")
    assert caught.value.field == "image" and caught.value.text.startswith("image ")
    assert str(tmp_path) not in caught.value.text


def test_missing_heavy_and_remote_files(tmp_path):
    with pytest.raises(MediaError, match="expired"):
        pictures.open_image(handle(tmp_path / "gone.png"), "image")
    with pytest.raises(MediaError, match="has no file"):
        pictures.open_image(handle(tmp_path), "image")
    heavy = tmp_path / "heavy.png"
    with heavy.open("wb") as file:
        file.truncate(BUDGETS.image_bytes + 1)
    with pytest.raises(MediaError, match="at most 50 MB"):
        pictures.open_image(handle(heavy), "image")
    with pytest.raises(MediaError, match="URL"):
        pictures.open_image(MediaHandle(path="http://example.org/a.png"), "image")


def test_pictures_are_upright_opaque_and_rgb(tmp_path):
    rotated = Image.new("RGB", (40, 20), "red")
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated.save(tmp_path / "r.jpg", exif=exif)
    assert pictures.open_image(handle(tmp_path / "r.jpg"), "image").size == (20, 40)
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    assert pictures.open_image(handle(tmp_path / "a.png"), "image").getpixel((4, 4)) == (255, 255, 255)
    Image.new("L", (8, 8), 7).save(tmp_path / "g.png")
    assert pictures.open_image(handle(tmp_path / "g.png"), "image").mode == "RGB"


def test_every_kind_of_picture_looks_as_a_viewer_shows_it(tmp_path):
    red = Image.new("RGB", (8, 8), (200, 30, 30))
    red.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    half = red.convert("P")
    half.info["transparency"] = half.getpixel((0, 0))
    half.save(tmp_path / "palette.png", transparency=half.getpixel((0, 0)))
    deep = np.full((8, 8), 0x8000, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.fromarray(deep).save(tmp_path / "deep.tif")
    green = Image.new("RGB", (8, 8), "green")
    for name in ("moving.gif", "moving.webp"):
        red.save(tmp_path / name, save_all=True, append_images=[green, green], lossless=True)
    red.save(tmp_path / "x.avif", quality=100)
    Image.new("1", (8, 8), 1).save(tmp_path / "bit.png")
    wanted = {
        "cmyk.jpg": (200, 30, 30), "palette.png": (255, 255, 255), "deep.png": (128,) * 3,
        "deep.tif": (128,) * 3, "moving.gif": (200, 30, 30), "moving.webp": (200, 30, 30),
        "x.avif": (200, 30, 30), "bit.png": (255, 255, 255),
    }  # fmt: skip
    for name, colour in wanted.items():
        picture = pictures.open_image(handle(tmp_path / name), "image")
        assert (picture.mode, picture.size) == ("RGB", (8, 8)), name
        assert np.abs(np.subtract(picture.getpixel((4, 4)), colour)).max() <= 12, name
        known = Reader().measured(handle(tmp_path / name), "image")
        assert (known.width, known.height) == (8, 8), name


def test_a_picture_is_measured_as_it_is_seen_and_not_decoded(tmp_path, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20), "red").save(tmp_path / "r.jpg", exif=exif)
    monkeypatch.setattr(ImageFile.ImageFile, "load", _never)
    known = Reader().measured(handle(tmp_path / "r.jpg"), "image")
    assert (known.width, known.height) == (20, 40)


def _never(*_):
    raise AssertionError("decoded")


def test_a_bomb_of_26_kb_is_never_decoded(tmp_path, monkeypatch):
    # Three of these took 4.1 GB.
    path = tmp_path / "bomb.png"
    path.write_bytes(png_header(13_000, 13_000, zlib.compress(bytes(13_000 * 1_626), 9)))
    assert path.stat().st_size < 26_000
    monkeypatch.setattr(ImageFile.ImageFile, "load", _never)
    with pytest.raises(MediaError, match="image must be at most 64 megapixels; got 13000x13000"):
        pictures.open_image(handle(path), "image")


@pytest.mark.parametrize("size", [(20_000, 1), (1, 20_000)])
def test_a_strip_is_cut_out_of_too(tmp_path, size):
    Image.new("RGB", size, "red").save(tmp_path / "strip.png")
    picture = pictures.open_image(handle(tmp_path / "strip.png"), "image", (128, 128))
    fitted = pictures.fit(picture, 128, 128)
    assert fitted.image.size == (128, 128) and fitted.notice is not None
    assert letterbox(picture, 128, 128).size == (128, 128)


def test_a_picture_is_kept_no_larger_than_it_takes(tmp_path):
    Image.new("RGB", (4000, 2000), "red").save(tmp_path / "p.png")
    assert pictures.open_image(handle(tmp_path / "p.png"), "image", (200, 200)).size == (400, 200)
    assert pictures.open_image(handle(tmp_path / "p.png"), "image").size == (4000, 2000)


def test_formats_that_nobody_hands_in_are_not_opened(tmp_path):
    """PostScript would start another program; others have decoders that few people look at."""
    for name, form in (("x.eps", "EPS"), ("x.ppm", "PPM"), ("x.tga", "TGA"), ("x.pcx", "PCX")):
        Image.new("RGB", (8, 8)).save(tmp_path / name, form)
        (tmp_path / "x.png").write_bytes((tmp_path / name).read_bytes())
        with pytest.raises(MediaError, match="not a readable picture"):
            pictures.open_image(handle(tmp_path / "x.png"), "image")


@pytest.mark.parametrize(
    "path", ["\0.png", "/tmp/a\0b.mp4", "\ud800.png", "x" * 500_000, "/" + "y" * 300, "", "/dev"]
)
def test_odd_names_get_a_short_line(path):
    for read in (pictures.open_image, Reader().measured, Reader().frame):
        with pytest.raises(MediaError) as caught:
            read(MediaHandle.model_construct(path=path), "image")
        assert len(caught.value.text) < 250
        caught.value.text.encode()


def test_any_damage_is_said_as_such(tmp_path):
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "whole.jpg", quality=90)
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "whole.png")
    Image.effect_noise((64, 64), 90).convert("RGB").save(tmp_path / "whole.webp", lossless=True)
    for whole in tmp_path.glob("whole.*"):
        content = whole.read_bytes()
        cut = tmp_path / f"cut{whole.suffix}"
        cut.write_bytes(content[: len(content) // 2])
        with pytest.raises(MediaError, match="not a readable picture"):
            pictures.open_image(handle(cut), "image")
    noise = np.random.default_rng(0)
    for kind in (".jpg", ".png", ".webp"):
        for _ in range(40):  # whatever Pillow makes of it: a picture, or one line
            content = bytearray((tmp_path / f"whole{kind}").read_bytes())
            for place in noise.integers(0, min(len(content), 400), 4):
                content[place] = noise.integers(0, 256)
            (tmp_path / f"odd{kind}").write_bytes(content)
            try:
                assert pictures.open_image(handle(tmp_path / f"odd{kind}"), "image").mode == "RGB"
            except MediaError as error:
                assert error.field == "image"


def test_fit_cuts_the_centre_and_says_so():
    picture = Image.new("RGB", (300, 100), "blue")
    picture.paste("red", (100, 0, 200, 100))
    fitted = pictures.fit(picture, 128, 128)
    assert fitted.image.size == (128, 128)
    assert fitted.image.getpixel((5, 64)) == (255, 0, 0)
    assert fitted.notice is not None and "300x100" in fitted.notice and "67%" in fitted.notice
    assert pictures.fit(Image.new("RGB", (256, 256)), 128, 128).notice is None


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
    assert known.sha256 == files.sha256(clip)
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


@pytest.mark.parametrize(
    ("values", "mode", "middle", "white"),
    [
        (np.array([[0, 32768, 65535]], np.uint16), "png", 128, 65535),
        (np.array([[0, 2048, 4095]], np.uint16), "png", 128, 4095),  # 12 bits in 16
        (np.array([[0, 32768, 65535]], np.int32), "tiff", 128, 65535),
        (np.array([[0, 0.5, 1]], np.float32), "tiff", 128, 1),
        (np.array([[0, 100, 200]], np.int32), "tiff", 100, 255),
    ],
)
def test_fine_grays_keep_their_range_and_say_so(tmp_path, values, mode, middle, white):
    said: list[str] = []
    Image.fromarray(values).save(tmp_path / f"gray.{mode}")
    image = pictures.open_image(MediaHandle(path=str(tmp_path / f"gray.{mode}")), "image", say=said.append)
    dark, gray, light = np.asarray(image)[0, :, 0].tolist()
    assert (dark, gray, light) == (0, middle, 200 if middle == 100 else 255)
    assert said == [f"image has finer grays than a video; 0 to {white} became 0 to 255."]


@pytest.mark.parametrize("mode", ["gif", "webp", "png"])
def test_an_animated_picture_says_that_its_first_is_used(tmp_path, mode):
    said: list[str] = []
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / f"a.{mode}", save_all=True, append_images=frames[1:])
    image = pictures.open_image(MediaHandle(path=str(tmp_path / f"a.{mode}")), "image", say=said.append)
    assert np.abs(np.asarray(image)[8, 8].astype(int) - (255, 0, 0)).max() < 12
    assert said == ["image is animated; its first picture is used."]


def test_transparency_is_told_only_where_something_is_transparent(tmp_path):
    said: list[str] = []
    for name, alpha in (("whole", 255), ("glass", 100)):
        Image.new("RGBA", (8, 8), (255, 0, 0, alpha)).save(tmp_path / f"{name}.png")
        pictures.open_image(MediaHandle(path=str(tmp_path / f"{name}.png")), name, say=said.append)
    assert said == ["glass is transparent in places; they are white now."]
