"""The list that a browser keeps: newest first, each once, 24 at most, favourites longest, no stranger's words."""

from __future__ import annotations

import json

import pytest

from router.gallery.browser import LAST, BrowserShelf, read
from tests.router.gallery.made import item, lineage


def full() -> BrowserShelf:
    shelf = BrowserShelf("")
    for index in range(LAST):
        shelf.add(item(f"/{index}.mp4"))
    return shelf


def paths(shelf: BrowserShelf) -> list[str]:
    return [i.video.path for i in shelf.items()]


def test_newest_first_each_once_and_only_so_many() -> None:
    shelf = full()
    shelf.add(item("/20.mp4"))
    shelf.add(item("/new.mp4"))
    assert len(paths(shelf)) == LAST and paths(shelf)[:3] == ["/new.mp4", "/20.mp4", f"/{LAST - 1}.mp4"]
    assert "/0.mp4" not in paths(shelf)


def test_favourites_fall_out_last() -> None:
    shelf = full()
    oldest = shelf.items()[-1]
    assert shelf.favourite(oldest.key, True)
    for index in range(LAST - 1):
        shelf.add(item(f"/more-{index}.mp4"))
    assert paths(shelf)[-1] == "/0.mp4"
    for one in shelf.items():
        shelf.favourite(one.key, True)
    shelf.add(item("/last.mp4"))
    assert len(paths(shelf)) == LAST and paths(shelf)[0] == "/last.mp4" and "/0.mp4" not in paths(shelf)


def test_made_again_it_keeps_its_star() -> None:
    shelf = BrowserShelf("")
    shelf.add(item("/1.mp4"))
    shelf.favourite(shelf.items()[0].key, True)
    shelf.add(item("/1.mp4"))
    assert [i.favourite for i in shelf.items()] == [True]


def test_delete_can_be_undone_until_the_page_is_opened_anew() -> None:
    shelf = BrowserShelf("")
    shelf.add(item("/1.mp4"))
    key = shelf.items()[0].key
    assert shelf.delete(key) and not shelf.delete("0" * 64)
    again = BrowserShelf(shelf.written())
    assert again.items()[0].deleted and again.undo(key) and not again.items()[0].deleted
    again.delete(key)
    again.forget()
    assert not again.items()


def test_what_is_kept_comes_back_whole() -> None:
    shelf = BrowserShelf("")
    shelf.add(item("/1.mp4", lineage()))
    assert BrowserShelf(shelf.written()).items() == shelf.items()


@pytest.mark.parametrize(
    "strange",
    ["", None, "{", "[1]", '[{"mode": "t9v"}]', ["a"], {"path": "/etc/passwd"}, "null", "[" * 100_000,
     "x" * 3_000_000,
     json.dumps([{"mode": "t2v", "video": {"path": "/1.mp4"}, "added": 1e300}])],
)  # fmt: skip
def test_nothing_that_another_wrote_there_is_shown(strange: object) -> None:
    assert read(strange) == []


def test_a_list_of_the_version_before_is_still_read() -> None:
    kept = json.dumps([{"mode": "t2v", "video": {"path": "/1.mp4"}}])
    assert [i.video.path for i in read(kept)] == ["/1.mp4"]
