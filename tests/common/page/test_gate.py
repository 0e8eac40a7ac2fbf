"""What the gate lets in: files of the cache, URLs of the federation, public URLs once fetched; nothing else."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from common.budgets import Budgets
from common.errors import DiskError, MediaError
from common.page import gate
from common.page.gate import FILE_ROUTE, Gate
from tests.disk import disk_takes

META = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    (folder / "0123abcd").mkdir(parents=True)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def admit(path: Any, **ours: Any) -> dict[str, Any]:
    file = path if isinstance(path, dict) else {"path": str(path), **META}
    return asyncio.run(Gate(**ours).admit(file, "image"))


def upload(cache: Path, name: str = "a.png") -> Path:
    file = cache / "0123abcd" / name
    file.write_bytes(b"mine")
    return file


def test_an_upload_comes_in_and_brings_no_address_along(cache: Path) -> None:
    file = upload(cache)
    asked = {"path": str(file), "url": "http://10.0.0.1/internal", "orig_name": "a.png", **META}
    assert admit(asked) == {"path": str(file), "url": None, "orig_name": "a.png", **META}


def test_a_files_own_address_means_the_file(cache: Path) -> None:
    file = upload(cache, "a b.png")
    for base in ("http://127.0.0.1:7860/i2v", "https://studio.example"):
        assert admit(f"{base}{FILE_ROUTE}{file}".replace(" ", "%20"))["path"] == str(file)


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "/proc/self/environ",
        "etc/passwd",
        "",
        "file:///etc/passwd",
        "\0",
        "x" * 5000,
        "~/.ssh/id_rsa",
    ],
)
def test_a_path_of_the_machine_is_refused(cache: Path, path: str) -> None:
    with pytest.raises(MediaError, match=r"image must be an upload or a result of this Studio; upload"):
        admit(path)


def test_a_way_out_of_the_cache_is_refused(cache: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_text("s")
    (cache / "0123abcd" / "link.png").symlink_to(secret)
    (cache / "0123abcd" / ".part").write_text("half written")
    (tmp_path / "cache-2").mkdir()
    (tmp_path / "cache-2" / "a.png").write_text("s")
    for path in (f"{cache}/../secret.png", f"{cache}/0123abcd/link.png", f"{cache}/0123abcd/.part",
                 f"{cache}-2/a.png", str(cache)):  # fmt: skip
        with pytest.raises(MediaError):
            admit(path)


def test_an_own_file_that_is_gone_has_expired(cache: Path) -> None:
    for path in (
        f"{cache}/0123abcd/gone.png",
        f"http://127.0.0.1:7860/i2v{FILE_ROUTE}{cache}/0123abcd/gone.png",
    ):
        with pytest.raises(MediaError, match="image has expired here; upload it again"):
            admit(path)


def test_files_are_found_wherever_they_stand(cache: Path) -> None:
    with pytest.raises(MediaError):
        asyncio.run(Gate().values([{"image": {"path": "/etc/passwd"}, "caption": None}], "gallery"))
    words = {"prompt": "a path", "numbers": [1, 2], "none": None}
    assert asyncio.run(Gate().values(words, "prompt")) == words
    assert asyncio.run(Gate().values({"path": None, **META}, "image")) == {"path": None, **META}


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8000/x.png", "http://localhost/x", "http://[::1]/x", "http://169.254.169.254/latest/meta-data",
     "http://10.1.2.3/x", "http://0.0.0.0/x", "http://printer.local/x", "http:///x", "http://[bad/x"],
)  # fmt: skip
def test_a_private_address_is_never_asked(cache: Path, url: str) -> None:
    with pytest.raises(MediaError, match=r"image (must not lie on a private|could not be fetched)"):
        admit(url)


def test_a_result_of_the_federation_stays_where_it_is(cache: Path) -> None:
    url = f"https://ada-wan-t2v.hf.space{FILE_ROUTE}/tmp/gradio/x/t2v-1.mp4"
    found = admit({"path": url, "url": None, **META}, ours=lambda asked: asked == url)
    assert (found["path"], found["url"]) == (url, url)


def test_a_result_elsewhere_may_have_a_path_like_ours(cache: Path) -> None:
    """Every Space keeps its files in a folder of the same name."""
    url = f"https://ada-wan-t2v.hf.space{FILE_ROUTE}{cache}/0123abcd/t2v-1.mp4"
    assert admit(url, ours=lambda asked: True)["path"] == url
    here = upload(cache, "t2v-1.mp4")
    assert admit(url, ours=lambda asked: True)["path"] == str(here), "mounted in the same process"


def body_of(*pieces: bytes) -> Any:
    async def body(url: str, field: str) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return body


def test_a_public_url_becomes_an_upload(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_body", body_of(b"ab", b"cd"))
    found = admit("https://example.org/pictures/../../a%20b.png?x=1")
    assert Path(found["path"]).read_bytes() == b"abcd" and Path(found["path"]).name == "ab.png"
    assert admit(found["path"])["path"] == found["path"]


def test_a_url_that_never_ends_is_cut_off_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BUDGETS", Budgets(upload_bytes=3_000_000))
    monkeypatch.setattr(gate, "_body", body_of(*[b"x" * 1_000_000] * 9))
    with pytest.raises(MediaError, match="image must be at most 3 MB"):
        admit("https://example.org/endless.mp4")
    assert not [f for f in cache.rglob("*") if f.is_file()]


def test_a_url_that_finds_no_room_is_not_the_urls_fault(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_body", body_of(*[b"x" * 1_000_000] * 3))
    with disk_takes(2_000_000), pytest.raises(DiskError, match="this machine cannot keep the file") as told:
        admit("https://example.org/large.mp4")
    assert str(cache) not in told.value.text and not [f for f in cache.rglob("*") if f.is_file()]


def test_a_data_url_that_finds_no_room_leaves_nothing(cache: Path) -> None:
    with disk_takes(2_000_000), pytest.raises(OSError, match="File too large"):
        admit("data:image/png;base64," + base64.b64encode(b"x" * 3_000_000).decode())
    assert not [f for f in cache.rglob("*") if f.is_file()]


def test_a_data_url_becomes_an_upload(cache: Path) -> None:
    found = admit("data:image/png;base64," + base64.b64encode(b"picture").decode())
    assert Path(found["path"]).read_bytes() == b"picture" and found["path"].endswith(".png")
    for broken in ("data:image/png;base64,***", "data:image/png,plain", "data:"):
        with pytest.raises(MediaError, match="is not a data URL in base64"):
            admit(broken)
