"""What is lent lies in the cache under a folder that nobody can guess, and nothing else of the gallery does."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import cache
from common.errors import MediaError
from common.page.gate import own_file
from router.gallery import lending
from router.gallery.disk import Disk
from router.gallery.lending import Lending
from router.visitors import OWN
from tests.router.gallery.made import lineage, video


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    disk = Disk(tmp_path / "state")
    disk.keep(OWN, video(tmp_path, lineage()), lineage())
    return Path(disk.shelf(OWN).items()[0].video.path)


def test_a_lent_file_passes_the_gate_and_the_gallery_itself_does_not(kept: Path) -> None:
    lent = Lending().lend(kept)
    assert lent is not None and own_file(str(lent), "video") == lent.resolve()
    assert lent.read_bytes() == kept.read_bytes() and lent.name == kept.name and len(lent.parent.name) == 32
    for path in (kept, kept.parent.parent / "index.sqlite", lent.parent / ".." / ".." / ".." / kept):
        with pytest.raises(MediaError, match="must be an upload or a result"):
            own_file(str(path), "video")


def test_it_is_lent_once_and_anew_when_the_cache_was_swept(kept: Path) -> None:
    lending_ = Lending()
    first = lending_.lend(kept)
    assert first is not None and lending_.lend(kept) == first
    first.unlink()
    second = lending_.lend(kept)
    assert second is not None and second != first and second.is_file() and kept.is_file()


def test_what_is_deleted_is_no_longer_lent(kept: Path) -> None:
    lending_ = Lending()
    lent = lending_.lend(kept)
    lending_.take_back(kept)
    assert lent is not None and not lent.exists() and kept.exists()
    kept.unlink()
    assert lending_.lend(kept) is None
    assert not [f for f in cache.results().rglob("*") if f.is_file()]


def test_across_file_systems_it_is_copied_where_that_is_wanted(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(lending.os, "link", refused)
    assert Lending().lend(kept, copy=False) is None
    lent = Lending().lend(kept)
    assert lent is not None and lent.read_bytes() == kept.read_bytes()
