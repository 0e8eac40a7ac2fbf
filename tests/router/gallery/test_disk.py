"""A gallery on disk is found again after a restart, with or without its index; its limit costs no favourite."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from common.errors import InputError, StudioError
from common.media.files import sha256
from router.gallery import disk as disk_module
from router.gallery.browser import LAST
from router.gallery.disk import Disk
from router.visitors import OWN
from tests.router.gallery.made import lineage, video

A, B = "a" * 64, "b" * 64


def kept(disk: Disk, folder: Path, seed: int, owner: str = OWN, mode: str = "t2v") -> str:
    made = lineage(mode, seed=seed)
    return disk.keep(owner, video(folder, made), made)


def seeds(disk: Disk, owner: str = OWN) -> list[int]:
    return [i.lineage.seed for i in disk.shelf(owner).items() if i.lineage and not i.deleted]


def test_a_result_is_kept_under_a_name_to_read_and_outlives_the_cache(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    source = video(tmp_path / "cache", lineage(seed=4))
    content = source.read_bytes()
    key = disk.keep(OWN, source, lineage(seed=4))
    assert key == sha256(source)
    source.unlink()
    (item,) = disk.shelf(OWN).items()
    path = Path(item.video.path)
    assert path.name == "t2v-a-b-red-b-circle-4.mp4" and path.read_bytes() == content
    assert (item.key, item.lineage, item.favourite) == (key, lineage(seed=4), False)


def test_the_same_file_is_kept_once_and_another_of_its_name_gets_a_number(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    first = kept(disk, tmp_path, 1)
    assert kept(disk, tmp_path, 1) == first
    made = lineage(seed=1).model_copy(update={"git_sha": "other"})
    disk.keep(OWN, video(tmp_path, made, "other.mp4"), made)
    names = sorted(Path(i.video.path).name for i in disk.shelf(OWN).items())
    assert names == ["t2v-a-b-red-b-circle-1-2.mp4", "t2v-a-b-red-b-circle-1.mp4"]


@pytest.mark.parametrize("index", ["kept", "dropped", "broken"])
def test_a_restart_finds_everything_again(tmp_path: Path, index: str) -> None:
    disk = Disk(tmp_path / "state")
    keys = [kept(disk, tmp_path, seed) for seed in (1, 2)]
    disk.shelf(OWN).favourite(keys[0], True)
    for path in disk.folder.glob("index.sqlite*"):
        if index == "dropped":
            path.unlink()
        elif index == "broken":
            path.write_bytes(b"not a database at all" * 100)
    items = Disk(tmp_path / "state").shelf(OWN).items()
    assert {i.key for i in items} == set(keys)
    assert {i.key for i in items if i.favourite} == ({keys[0]} if index == "kept" else set())


def test_what_a_hand_put_there_or_took_away_is_seen(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    kept(disk, tmp_path, 1)
    own = disk.home(OWN)
    video(own, lineage(seed=2), "from elsewhere.mp4")
    (own / "stranger.mp4").write_text("not a video")
    (own / "link.mp4").symlink_to("/etc/passwd")
    assert sorted(seeds(disk)) == [1, 2]
    (own / "from elsewhere.mp4").unlink()
    assert seeds(disk) == [1]


def test_delete_is_undone_with_its_star_and_survives_a_lost_index(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    key, shelf = kept(disk, tmp_path, 1), disk.shelf(OWN)
    shelf.favourite(key, True)
    assert shelf.delete(key) and shelf.delete(key)
    assert not list(disk.home(OWN).glob("*.mp4")) and shelf.items()[0].deleted
    assert shelf.undo(key) and shelf.items()[0].favourite and seeds(disk) == [1]
    shelf.delete(key)
    for path in disk.folder.glob("index.sqlite*"):
        path.unlink()
    assert seeds(Disk(tmp_path / "state")) == [], "what was deleted came back"


def test_the_trash_is_emptied_after_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path / "state")
    key = kept(disk, tmp_path, 1)
    disk.shelf(OWN).delete(key)
    Disk(tmp_path / "state")
    assert disk.shelf(OWN).undo(key), "gone within its time"
    disk.shelf(OWN).delete(key)
    monkeypatch.setattr(disk_module, "UNDO_SECONDS", -1.0)
    Disk(tmp_path / "state")
    assert not disk.shelf(OWN).items() and not list(disk.folder.rglob("*.mp4"))


def test_the_oldest_go_and_a_favourite_or_what_can_be_undone_never(tmp_path: Path) -> None:
    size = video(tmp_path, lineage(seed=1)).stat().st_size
    disk = Disk(tmp_path / "state", most_bytes=3 * size + size // 2)
    first = kept(disk, tmp_path, 1)
    disk.shelf(OWN).favourite(first, True)
    second = kept(disk, tmp_path, 2)
    disk.shelf(OWN).delete(second)
    for seed in (3, 4, 5):
        kept(disk, tmp_path, seed)
    assert seeds(disk) == [5, 1]
    assert disk.shelf(OWN).undo(second) and sorted(seeds(disk)) == [1, 2, 5]
    total = sum(p.stat().st_size for p in disk.home(OWN).rglob("*.mp4"))
    assert total <= 3 * size + size // 2


def test_where_favourites_fill_it_nothing_new_is_taken_and_nothing_lost(tmp_path: Path) -> None:
    size = video(tmp_path, lineage(seed=1)).stat().st_size
    disk = Disk(tmp_path / "state", most_bytes=size + size // 2)
    disk.shelf(OWN).favourite(kept(disk, tmp_path, 1), True)
    with pytest.raises(StudioError, match="Favourites fill"):
        kept(disk, tmp_path, 2)
    assert seeds(disk) == [1]


def test_a_visitor_has_24_places_of_which_half_may_be_favourites(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    other = kept(disk, tmp_path, 1, owner=B)
    keys = [kept(disk, tmp_path, seed, owner=A) for seed in range(LAST)]
    for key in keys[: LAST // 2]:
        disk.shelf(A).favourite(key, True)
    with pytest.raises(InputError, match="12 results at most"):
        disk.shelf(A).favourite(keys[LAST // 2], True)
    for seed in range(LAST, 2 * LAST):
        kept(disk, tmp_path, seed, owner=A)
    have = seeds(disk, A)
    assert len(have) == LAST and set(range(LAST // 2)) < set(have) and 2 * LAST - 1 in have
    assert [i.key for i in disk.shelf(B).items()] == [other]


def test_another_owners_key_is_as_one_that_does_not_exist(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state")
    key, shelf = kept(disk, tmp_path, 1, owner=A), disk.shelf(B)
    assert not shelf.items()
    for act in (shelf.delete, shelf.undo, lambda k: shelf.favourite(k, True)):
        assert act(key) is act("f" * 64) is False
    assert not disk.shelf(A).items()[0].favourite and not disk.shelf(A).items()[0].deleted


def test_across_file_systems_a_copy_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(disk_module.os, "link", refused)
    disk = Disk(tmp_path / "state")
    key = kept(disk, tmp_path, 1)
    assert sha256(Path(disk.shelf(OWN).items()[0].video.path)) == key
    assert not list(disk.folder.rglob("*.part"))


def test_thumbnails_are_made_once_and_go_with_their_file(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "state", most_bytes=10**9)
    kept(disk, tmp_path, 1)
    shelf = disk.shelf(OWN)
    (item,) = shelf.items()
    small = shelf.thumbnail(item)
    assert small is not None and shelf.has_thumbnail(item)
    made = small.stat().st_mtime_ns
    assert shelf.thumbnail(item) == small and small.stat().st_mtime_ns == made
    disk._remove(OWN, item.key)
    assert not small.exists() and not shelf.items()


def test_a_thousand_results_are_listed_at_once(tmp_path: Path) -> None:
    disk, made = Disk(tmp_path / "state"), lineage(seed=1)
    source = video(tmp_path, made)
    home = disk.home(OWN)
    home.mkdir(parents=True)
    text = made.model_dump_json()
    with disk.index() as base:
        for number in range(1000):
            shutil.copyfile(source, home / f"{number}.mp4")
            row = (OWN, f"{number:064x}", f"{number}.mp4", text, 1, float(number), 0, 0.0)
            base.execute("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    began = time.monotonic()
    items = disk.shelf(OWN).items()
    assert len(items) == 1000 and items[0].added == 999.0
    print(f"1000 results listed in {time.monotonic() - began:.3f} s")
