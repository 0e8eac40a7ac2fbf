"""What is on the shelf is whole, whatever happened to its files; else it is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.media.shelf import Shelf


def writes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def test_what_is_kept_is_found_by_its_name_and_number(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "job")
    assert shelf.find("a", 0) is None and shelf.find("a") is None
    shelf.keep("a", 0, ".bin", writes(b"first"))
    shelf.keep("a", 1, ".bin", writes(b"second"))
    shelf.keep("a", None, ".mp4", writes(b"whole"))
    assert [path.read_bytes() for path in (shelf.find("a", 0), shelf.find("a", 1), shelf.find("a")) if path] == [
        b"first", b"second", b"whole"
    ]  # fmt: skip
    assert shelf.find("a", 2) is None and shelf.find("b", 0) is None


@pytest.mark.parametrize("damage", [b"", b"cu", b"cut off?", b"\0" * 7, b"PK\x03\x04 a zip"])
def test_a_damaged_file_is_not_there_and_makes_room(tmp_path: Path, damage: bytes) -> None:
    shelf = Shelf(tmp_path)
    path = shelf.keep("a", 0, ".bin", writes(b"cut off"))
    path.write_bytes(damage)
    assert shelf.find("a", 0) is None and not list(tmp_path.iterdir())


def test_what_fails_half_way_leaves_nothing(tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        Shelf(tmp_path).keep("a", 0, ".bin", fails)
    assert not list(tmp_path.iterdir())


def test_all_that_is_found_or_kept_is_held(tmp_path: Path) -> None:
    first = Shelf(tmp_path).keep("a", 0, ".bin", writes(b"first"))
    held: list[Path] = []
    shelf = Shelf(tmp_path, held.append)
    second = shelf.keep("a", 1, ".bin", writes(b"second"))
    shelf.find("a", 0)
    assert held == [second, first]
