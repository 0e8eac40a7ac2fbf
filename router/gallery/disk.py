"""A Gallery on this machine's disk: the files themselves under names one can read, and a small index beside them.

Everything but favourites and the order of arrival is said by the files: without the index they are found again. The
folder is never served; see lending.py.
"""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import cache
from common.budgets import BUDGETS
from common.contract import Lineage, MediaHandle
from common.errors import InputError, StudioError
from common.media import exports
from common.media.files import sha256
from common.media.lineage import read_lineage
from router.gallery.browser import LAST
from router.gallery.items import Item, file_name
from router.visitors import OWN

log = logging.getLogger(__name__)

UNDO_SECONDS = 3600.0
"""How long a deleted result can be brought back."""
FOLDER, TRASH, SMALL, INDEX = "gallery", "deleted", "thumbnails", "index.sqlite"

_TABLE = """CREATE TABLE IF NOT EXISTS items (
    owner TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, lineage TEXT NOT NULL, size INTEGER NOT NULL,
    added REAL NOT NULL, favourite INTEGER NOT NULL DEFAULT 0, deleted REAL NOT NULL DEFAULT 0,
    PRIMARY KEY (owner, key))"""
_COLUMNS = "owner, key, name, lineage, size, added, favourite, deleted"


class Disk:
    """The galleries of all owners of one Studio, under `<state>/gallery/`. Any thread may ask."""

    def __init__(self, state: Path, most_bytes: int | None = None) -> None:
        self.folder = state.resolve() / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._most = BUDGETS.gallery_bytes if most_bytes is None else most_bytes
        self._lock = threading.RLock()
        self._empty_old_trash()

    def shelf(self, owner: str) -> DiskShelf:
        """The gallery of one owner (`router.visitors.owner_of`)."""
        return DiskShelf(self, owner)

    # ------------------------------------------------------------------ where things lie

    def home(self, owner: str) -> Path:
        """The folder of an owner's files."""
        return self.folder / (owner or "own")

    def file(self, owner: str, name: str, *, deleted: bool) -> Path:
        """Where one of them lies."""
        return self.home(owner) / TRASH / name if deleted else self.home(owner) / name

    def small(self, owner: str, key: str) -> Path:
        """Its first frame, as a small picture; made when it is first asked for."""
        return self.home(owner) / SMALL / f"{key}.webp"

    # ------------------------------------------------------------------ the index

    @contextmanager
    def index(self) -> Iterator[sqlite3.Connection]:
        """The index, one thread at a time; one that cannot be read is begun anew, since the files say the same."""
        with self._lock:
            try:
                base = self._open()
            except sqlite3.DatabaseError as error:
                log.warning("the gallery's index is begun anew: %s", error)
                for path in self.folder.glob(f"{INDEX}*"):
                    path.unlink(missing_ok=True)
                base = self._open()
            try:
                with base:
                    yield base
            finally:
                base.close()

    def _open(self) -> sqlite3.Connection:
        base = sqlite3.connect(self.folder / INDEX, timeout=10, isolation_level="IMMEDIATE")
        try:
            base.execute("PRAGMA journal_mode=WAL")
            base.execute(_TABLE)
        except sqlite3.DatabaseError:
            base.close()
            raise
        return base

    def found(self, owner: str) -> None:
        """Brings the index up to what lies in an owner's folder: files that are new, and those that are gone."""
        with self.index() as base:
            known = {
                name: bool(deleted)
                for name, deleted in base.execute("SELECT name, deleted FROM items WHERE owner = ?", (owner,))
            }
            there = {path.name: path for path in self.home(owner).glob("*.mp4") if _plain(path)}
            for name, deleted in known.items():
                if name not in there and not (deleted and self.file(owner, name, deleted=True).exists()):
                    base.execute("DELETE FROM items WHERE owner = ? AND name = ?", (owner, name))
            for name in there.keys() - known.keys():
                if (lineage := read_lineage(there[name])) is not None:
                    self._note(base, owner, there[name], lineage, _made(lineage, there[name]))

    def _note(self, base: sqlite3.Connection, owner: str, path: Path, lineage: Lineage, added: float) -> None:
        row = (owner, sha256(path), path.name, lineage.model_dump_json(), path.stat().st_size, added, 0, 0.0)
        base.execute(f"INSERT OR IGNORE INTO items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    # ------------------------------------------------------------------ keeping, and cleaning up

    def keep(self, owner: str, source: Path, lineage: Lineage) -> str:
        """Links (or copies) a finished file into an owner's gallery; its key. One that is there is brought back.

        StudioError where favourites alone fill the gallery, OSError where the disk is full.
        """
        key, size = sha256(source), source.stat().st_size
        with self._lock:
            with self.index() as base:
                row = base.execute(
                    "SELECT deleted FROM items WHERE owner = ? AND key = ?", (owner, key)
                ).fetchone()
            if row is not None:
                if row[0]:
                    self.shelf(owner).undo(key)
                return key
            self._make_room(owner, size)
            target = self._free_name(owner, file_name(lineage.plan.mode, lineage))
            _linked(source, target)
            with self.index() as base:
                self._note(base, owner, target, lineage, time.time())
        return key

    def _free_name(self, owner: str, name: str) -> Path:
        stem = name.removesuffix(".mp4")
        for number in range(1, 100_000):
            candidate = f"{stem}{f'-{number}' if number > 1 else ''}.mp4"
            path = self.home(owner) / candidate
            if not path.exists() and not (self.home(owner) / TRASH / candidate).exists():
                return path
        raise StudioError("There are too many results of one name in this gallery.", title="Not kept")

    def _make_room(self, owner: str, size: int) -> None:
        """Oldest first, over all owners; a visitor of a hosted Studio has 24 at most. Never a favourite."""
        with self.index() as base:
            rows = base.execute(
                "SELECT owner, key, size, favourite, deleted FROM items ORDER BY added, rowid"
            ).fetchall()
        total = sum(row[2] for row in rows) + size
        own = sum(row[0] == owner for row in rows) + 1
        now = time.time()
        for whose, key, bytes_, favourite, deleted in rows:
            many = owner != OWN and whose == owner and own > LAST
            if favourite or (deleted and now - deleted < UNDO_SECONDS):
                continue
            if many or total > self._most:
                self._remove(whose, key)
                total, own = total - bytes_, own - (whose == owner)
        if total > self._most or (owner != OWN and own > LAST):
            raise StudioError(
                "Favourites fill this gallery; take the star from one, then save again.", title="Not kept"
            )

    def _empty_old_trash(self) -> None:
        with self.index() as base:
            rows = base.execute(
                "SELECT owner, key FROM items WHERE deleted > 0 AND deleted < ?",
                (time.time() - UNDO_SECONDS,),
            ).fetchall()
        for owner, key in rows:
            self._remove(owner, key)

    def _remove(self, owner: str, key: str) -> None:
        with self.index() as base:
            row = base.execute(
                "SELECT name, deleted FROM items WHERE owner = ? AND key = ?", (owner, key)
            ).fetchone()
            base.execute("DELETE FROM items WHERE owner = ? AND key = ?", (owner, key))
        if row is not None:
            self.file(owner, row[0], deleted=bool(row[1])).unlink(missing_ok=True)
            self.small(owner, key).unlink(missing_ok=True)


class DiskShelf:
    """One owner's gallery; see `Shelf`."""

    def __init__(self, disk: Disk, owner: str) -> None:
        self._disk, self._owner = disk, owner

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self._owner

    def items(self) -> list[Item]:
        """What is kept, newest first."""
        self._disk.found(self._owner)
        with self._disk.index() as base:
            rows = base.execute(
                f"SELECT {_COLUMNS} FROM items WHERE owner = ? ORDER BY added DESC, rowid DESC",
                (self._owner,),
            ).fetchall()
        return [self._item(row) for row in rows]

    def _item(self, row: tuple[str, str, str, str, int, float, int, float]) -> Item:
        _, key, name, text, _, added, favourite, deleted = row
        lineage = Lineage.model_validate_json(text)
        path = self._disk.file(self._owner, name, deleted=bool(deleted))
        plan = lineage.plan
        video = MediaHandle(
            path=str(path), orig_name=name, mime="video/mp4", sha256=key, width=plan.width, height=plan.height,
            frames=plan.whole_frames, fps=plan.fps, seconds=plan.clip_seconds,
        )  # fmt: skip
        return Item(
            mode=plan.mode,
            video=video,
            lineage=lineage,
            added=added,
            favourite=bool(favourite),
            deleted=deleted,
        )

    def add(self, item: Item) -> None:
        """See `Shelf`; the item's file lies on this machine."""
        if item.lineage is None:
            raise InputError("video", "was not made by Wan Studio")
        self._disk.keep(self._owner, Path(item.video.path), item.lineage)

    def favourite(self, key: str, yes: bool) -> bool:
        """See `Shelf`. On a hosted Studio half of a visitor's places may be favourites."""
        with self._disk.index() as base:
            (many,) = base.execute(
                "SELECT count(*) FROM items WHERE owner = ? AND favourite AND key != ?", (self._owner, key)
            ).fetchone()
            if yes and self._owner != OWN and many >= LAST // 2:
                raise InputError(
                    "favourite", f"is for {LAST // 2} results at most", hint="take one star away"
                )
            done = base.execute(
                "UPDATE items SET favourite = ? WHERE owner = ? AND key = ?", (int(yes), self._owner, key)
            )
            return done.rowcount > 0

    def delete(self, key: str) -> bool:
        """See `Shelf`: for an hour the file lies in a folder of its own."""
        return self._move(key, time.time())

    def undo(self, key: str) -> bool:
        """See `Shelf`."""
        return self._move(key, 0.0)

    def _move(self, key: str, deleted: float) -> bool:
        with self._disk.index() as base:
            row = base.execute(
                "SELECT name, deleted FROM items WHERE owner = ? AND key = ?", (self._owner, key)
            ).fetchone()
            if row is None:
                return False
            name, before = row
            if bool(before) != bool(deleted):
                target = self._disk.file(self._owner, name, deleted=bool(deleted))
                target.parent.mkdir(parents=True, exist_ok=True)
                self._disk.file(self._owner, name, deleted=bool(before)).replace(target)
            base.execute(
                "UPDATE items SET deleted = ? WHERE owner = ? AND key = ?", (deleted, self._owner, key)
            )
            return True

    def has_thumbnail(self, item: Item) -> bool:
        """Whether its small picture is there already."""
        return self._disk.small(self._owner, item.key).exists()

    def thumbnail(self, item: Item) -> Path | None:
        """The first frame as a small picture, made once; None for a file that shows none."""
        path = self._disk.small(self._owner, item.key)
        if not path.exists():
            try:
                exports.thumbnail(Path(item.video.path), path)
            except (StudioError, OSError) as error:
                log.warning("no thumbnail of %s: %s", item.video.orig_name, type(error).__name__)
                return None
        return path

    def written(self) -> None:
        """The browser keeps nothing."""
        return None


def _plain(path: Path) -> bool:
    return not path.name.startswith(".") and path.is_file() and not path.is_symlink()


def _made(lineage: Lineage, path: Path) -> float:
    when = Item(mode=lineage.plan.mode, video=MediaHandle(path=str(path)), lineage=lineage).when
    return when.timestamp() if when else path.stat().st_mtime


def _linked(source: Path, target: Path) -> None:
    """The same file under a second name, or a copy of it where that cannot be; whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        os.link(source.resolve(), target)
    except OSError:
        with cache.whole(target) as part:
            shutil.copyfile(source, part)
