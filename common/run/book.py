"""The book of jobs: what was asked, how far it is and how it ended, in SQLite on disk or in memory.

Everything is asked for by owner and id: another's job is answered like one that does not exist.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, get_args
from uuid import uuid4

from pydantic import ValidationError

from common.contract import EVENTS, Event, Failed, Heartbeat, MediaHandle, ModeKey, Notice
from common.errors import InputError, UnavailableError
from common.run.batch import Member

log = logging.getLogger(__name__)

State = Literal["waiting", "running", "done", "failed", "cancelled"]
ALIVE: tuple[State, ...] = ("waiting", "running")
ENDED = tuple(state for state in get_args(State) if state not in ALIVE)

NAME = "jobs.sqlite"
ATTEMPTS = 2
"""How often a job is begun: one that was running when the Studio died is begun once more."""
KEPT_SECONDS = 7 * 86_400
KEPT, KEPT_IN_ALL = 100, 5_000
"""How long ended jobs stay in the book, and how many of one owner's and of all."""
PRUNED_EVERY = 100
"""Jobs that are entered between two looks at what is too old or too much."""

_TABLES = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, mode TEXT NOT NULL,
    asked TEXT NOT NULL, billed INTEGER NOT NULL, state TEXT NOT NULL, place REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, began REAL, ended REAL, video TEXT,
    seen INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS jobs_owner ON jobs (owner, number);
CREATE INDEX IF NOT EXISTS jobs_state ON jobs (state, place);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS events_job ON events (job, number);
CREATE TABLE IF NOT EXISTS paused (owner TEXT PRIMARY KEY);
"""
_CHANGES = (
    """
    ALTER TABLE jobs ADD COLUMN batch TEXT;
    ALTER TABLE jobs ADD COLUMN label TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN aim TEXT;
    CREATE INDEX jobs_batch ON jobs (batch);
    """,
)
"""What each version has brought after the first, whose tables those above are."""
_VERSION = 1 + len(_CHANGES)


@dataclass(frozen=True)
class Entry:
    """One job. Times are seconds since the epoch; `billed` says that it runs on its visitor's own quota.

    `batch` is what it was asked for together with, `label` what tells it from the others there, and `aim` the values
    of what a draft stands for.
    """

    id: str
    owner: str
    mode: ModeKey
    asked: Mapping[str, Any]
    billed: bool
    state: State
    attempts: int
    created: float
    began: float | None
    ended: float | None
    video: MediaHandle | None
    batch: str | None = None
    label: str = ""
    aim: Mapping[str, Any] | None = None

    @property
    def alive(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ALIVE


@dataclass(frozen=True)
class Waiting:
    """A job in the line, as far as its turn is concerned."""

    id: str
    owner: str
    mode: ModeKey


class Book:
    """One file, or none: then nothing outlives the process. Any thread may ask."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self._entered = 0
        self._held = _hold(path) if path is not None else None
        try:
            self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")  # a power cut may cost the last events, never the book
            self._db.execute("PRAGMA foreign_keys=ON")
            self._begin(path)
        except sqlite3.DatabaseError as error:
            raise UnavailableError(
                f"{path} cannot be read as the book of jobs ({error}); move it away to begin a new one"
            ) from None

    @classmethod
    def kept(cls, folder: Path | None) -> Book:
        """The book of a folder; where there is none, or it cannot be used, one that ends with the process."""
        if folder is None:
            return cls()
        try:
            return cls(folder / NAME)
        except UnavailableError as error:
            log.warning("jobs are kept until this Studio ends, and no longer: %s", error)
            return cls()

    def _begin(self, path: Path | None) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if not 0 <= version <= _VERSION:
            raise UnavailableError(
                f"{path} was written by a newer Wan Studio (version {version} of the book); update this one, or "
                "move the file away"
            )
        changes = "".join(_CHANGES[max(version, 1) - 1 :])
        self._db.executescript(f"BEGIN; {_TABLES} {changes} PRAGMA user_version={_VERSION}; COMMIT;")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._db.close()
            if self._held is not None:
                os.close(self._held)
                self._held = None

    # ------------------------------------------------------------------ jobs

    def add(
        self, owner: str, job: str, mode: ModeKey, asked: Mapping[str, Any], *, billed: bool = False
    ) -> Entry:
        """Enter a job at the end of the line; the one that is there where the same owner has entered it before.

        `asked` are a request's values, handles as such or as dictionaries. InputError for an id that is taken.
        """
        with self._lock, suppress(sqlite3.IntegrityError):
            self._insert(owner, job, mode, asked, billed)
        if (entry := self.entry(owner, job)) is None:
            raise InputError("job", "must be new", hint="leave it out for a new one")
        return entry

    def add_batch(
        self, owner: str, batch: str, mode: ModeKey, members: Sequence[Member], *, billed: bool = False
    ) -> list[Entry]:
        """Enter the jobs of a batch one behind the other, all or none; those that are there where it was entered.

        InputError for an id that is taken.
        """
        with self._lock:
            if not self._one("SELECT COUNT(*) FROM jobs WHERE batch = ?", (batch,)):
                self._db.execute("BEGIN")
                try:
                    for one in members:
                        more = (batch, one.label, None if one.aim is None else _written(one.aim))
                        self._insert(owner, str(uuid4()), mode, one.values, billed, *more)
                except BaseException:
                    self._db.execute("ROLLBACK")
                    raise
                self._db.execute("COMMIT")
            if not (entered := self.batch(owner, batch)):
                raise InputError("batch", "must be new", hint="reload the page")
            return entered

    def _insert(
        self, owner: str, job: str, mode: ModeKey, asked: Mapping[str, Any], billed: bool,
        batch: str | None = None, label: str = "", aim: str | None = None,
    ) -> None:  # fmt: skip
        self._entered += 1
        if self._entered % PRUNED_EVERY == 0:
            self.prune()
        self._db.execute(
            "INSERT INTO jobs (id, owner, mode, asked, billed, state, place, created, batch, label, aim)"
            " VALUES (?, ?, ?, ?, ?, 'waiting', (SELECT COALESCE(MAX(place), 0) + 1 FROM jobs), ?, ?, ?, ?)",
            (job, owner, mode, _written(asked), billed, time.time(), batch, label, aim),
        )

    def batch(self, owner: str, batch: str) -> list[Entry]:
        """The jobs of a batch of this owner, in the order in which they were asked for."""
        return self._entries("WHERE owner = ? AND batch = ? ORDER BY number", (owner, batch))

    def newest_batches(self, owner: str) -> list[Entry]:
        """The jobs of the batch that was asked for last in each mode, in their order."""
        return self._entries(
            "WHERE owner = ? AND batch IN (SELECT batch FROM jobs WHERE number IN (SELECT MAX(number) FROM jobs"
            " WHERE owner = ? AND batch IS NOT NULL GROUP BY mode)) ORDER BY number", (owner, owner),
        )  # fmt: skip

    def entry(self, owner: str, job: str) -> Entry | None:
        """A job of this owner."""
        found = self._entries("WHERE id = ? AND owner = ?", (job, owner))
        return found[0] if found else None

    def entries(self, owner: str) -> list[Entry]:
        """All jobs of an owner: what runs, what waits in the order of the line, then what ended, newest first."""
        return self._entries(
            "WHERE owner = ? ORDER BY state NOT IN ('waiting', 'running'), state = 'waiting',"
            " place * (ended IS NULL), ended DESC, number DESC", (owner,),
        )  # fmt: skip

    def videos(self) -> Iterator[tuple[str, MediaHandle]]:
        """Every result that is still in the book, with whose it is; oldest first."""
        for entry in self._entries("WHERE video IS NOT NULL ORDER BY number", ()):
            if entry.video is not None:
                yield entry.owner, entry.video

    def newest(self, owner: str, mode: ModeKey) -> Entry | None:
        """What a page of this mode shows when it is opened: the job that runs, else waits, else was entered last.

        How one has ended badly is shown once.
        """
        found = self._entries(
            "WHERE owner = ? AND mode = ? AND NOT (seen AND state IN ('failed', 'cancelled'))"
            " ORDER BY state = 'running' DESC, state = 'waiting' DESC,"
            " CASE state WHEN 'waiting' THEN place ELSE -number END LIMIT 1", (owner, mode),
        )  # fmt: skip
        return found[0] if found else None

    def line(self) -> list[Waiting]:
        """Who waits, of all owners, in order."""
        with self._lock:
            rows = self._db.execute("SELECT id, owner, mode FROM jobs WHERE state = 'waiting' ORDER BY place")
            return [Waiting(*row) for row in rows]

    def waiting(self, owner: str) -> int:
        """How many jobs of an owner wait."""
        return self._one("SELECT COUNT(*) FROM jobs WHERE owner = ? AND state = 'waiting'", (owner,))

    def _entries(self, where: str, values: Sequence[object]) -> list[Entry]:
        columns = "id, owner, mode, asked, billed, state, attempts, created, began, ended, video, batch, label, aim"
        with self._lock:
            rows = self._db.execute(f"SELECT {columns} FROM jobs {where}", values).fetchall()
        return [_entry(row) for row in rows]

    def _one(self, query: str, values: Sequence[object]) -> int:
        with self._lock:
            return int(self._db.execute(query, values).fetchone()[0])

    # ------------------------------------------------------------------ the line

    def begin(self, job: str) -> bool:
        """A job runs from now on; False where it no longer waits."""
        return self._changed(
            "UPDATE jobs SET state = 'running', began = ?, attempts = attempts + 1"
            " WHERE id = ? AND state = 'waiting'", (time.time(), job),
        )  # fmt: skip

    def put_back(self, job: str) -> None:
        """A job that runs waits again, as if it had not been begun."""
        self._changed(
            "UPDATE jobs SET state = 'waiting', began = NULL, attempts = attempts - 1"
            " WHERE id = ? AND state = 'running'", (job,),
        )  # fmt: skip

    def end(self, job: str, state: State, last: Event, video: MediaHandle | None = None) -> None:
        """A job has ended, and how."""
        with self._lock:
            self.write(job, last)
            # What it looked like on the way is of no use any more; the last step says how much of it was kept.
            self._db.execute("DELETE FROM events WHERE job = ? AND kind IN ('preview', 'stage')", (job,))
            kept = None if video is None else video.model_dump_json(exclude_none=True)
            self._db.execute(
                "UPDATE jobs SET state = ?, ended = ?, video = ? WHERE id = ? AND state IN ('waiting', 'running')",
                (state, time.time(), kept, job),
            )

    def saw(self, job: str) -> None:
        """Somebody has been shown how a job ended."""
        self._changed("UPDATE jobs SET seen = 1 WHERE id = ?", (job,))

    def reorder(self, owner: str, job: str, by: int) -> bool:
        """Move a waiting job by so many places among its owner's: they trade places, and nobody else's change."""
        with self._lock:
            rows = self._db.execute(
                "SELECT id, place FROM jobs WHERE owner = ? AND state = 'waiting' ORDER BY place", (owner,)
            ).fetchall()
            ids = [row[0] for row in rows]
            if job not in ids:
                return False
            to = min(max(ids.index(job) + by, 0), len(ids) - 1)
            ids.remove(job)
            ids.insert(to, job)
            self._db.executemany(
                "UPDATE jobs SET place = ? WHERE id = ?",
                [(place, name) for name, (_, place) in zip(ids, rows, strict=True)],
            )
        return True

    def forget(self, owner: str, jobs: Iterable[str] | None = None) -> int:
        """Strike out ended jobs of an owner, all of them where none is named; how many."""
        names = None if jobs is None else list(jobs)
        gone = [e.id for e in self.entries(owner) if not e.alive and (names is None or e.id in names)]
        with self._lock:
            self._db.executemany("DELETE FROM jobs WHERE id = ?", [(job,) for job in gone])
        return len(gone)

    def pause(self, owner: str, paused: bool) -> None:
        """Hold an owner's waiting jobs back, or let them go on."""
        with self._lock:
            self._db.execute("DELETE FROM paused WHERE owner = ?", (owner,))
            if paused:
                self._db.execute("INSERT INTO paused VALUES (?)", (owner,))

    def paused(self) -> set[str]:
        """The owners whose jobs are held back."""
        with self._lock:
            return {row[0] for row in self._db.execute("SELECT owner FROM paused")}

    def _changed(self, query: str, values: Sequence[object]) -> bool:
        with self._lock:
            return self._db.execute(query, values).rowcount > 0

    # ------------------------------------------------------------------ events

    def write(self, job: str, event: Event) -> None:
        """Note an event of a job that has not ended. All notices stay; of every other kind the newest.

        That is what somebody needs who comes later.
        """
        if isinstance(event, Heartbeat):
            return
        with self._lock:
            if not self._one("SELECT COUNT(*) FROM jobs WHERE id = ? AND state IN ('waiting', 'running')", (job,)):
                return
            if not isinstance(event, Notice):
                self._db.execute("DELETE FROM events WHERE job = ? AND kind = ?", (job, event.type))
            self._db.execute(
                "INSERT INTO events (job, kind, body) VALUES (?, ?, ?)", (job, event.type, event.model_dump_json())
            )

    def events(self, job: str, after: int = 0) -> list[tuple[int, Event]]:
        """What happened to a job since the event of this number, each with its own."""
        with self._lock:
            rows = self._db.execute(
                "SELECT number, kind, body FROM events WHERE job = ? AND number > ? ORDER BY number", (job, after)
            ).fetchall()
        found: list[tuple[int, Event]] = []
        for number, kind, body in rows:
            with suppress(KeyError, ValidationError):  # by another version
                found.append((number, EVENTS[kind].model_validate_json(body)))
        return found

    # ------------------------------------------------------------------ after a restart

    def recover(self) -> None:
        """What ran when the Studio died waits again, first in the line, or has failed; what is old is struck out."""
        with self._lock:
            for entry in self._entries("WHERE state = 'running'", ()):
                if entry.attempts < ATTEMPTS and not entry.billed:
                    self._db.execute("UPDATE jobs SET state = 'waiting', began = NULL WHERE id = ?", (entry.id,))
                else:
                    self.end(entry.id, "failed", interrupted(entry))
            # A visitor's token is on no disk: what waits would run on the quota of somebody else.
            for entry in self._entries("WHERE state = 'waiting' AND billed", ()):
                self.end(entry.id, "failed", interrupted(entry))
            self.prune()

    def prune(self) -> None:
        """Strike out ended jobs that are too old, or too many of one owner's or of all."""
        with self._lock:
            self._db.execute(
                "DELETE FROM jobs WHERE state NOT IN ('waiting', 'running') AND (ended < ? OR id IN (SELECT id FROM"
                " (SELECT id, ROW_NUMBER() OVER (PARTITION BY owner ORDER BY number DESC) AS nth,"
                " ROW_NUMBER() OVER (ORDER BY number DESC) AS nth_of_all FROM jobs"
                " WHERE state NOT IN ('waiting', 'running')) WHERE nth > ? OR nth_of_all > ?))",
                (time.time() - KEPT_SECONDS, KEPT, KEPT_IN_ALL),
            )


def interrupted(entry: Entry) -> Failed:
    """How a job ends that the end of the Studio has ended."""
    why = "it was not begun a third time" if entry.attempts >= ATTEMPTS else "it needs its page to be paid for"
    return Failed(
        job=entry.id, code=UnavailableError.code, title="Interrupted",
        text=f"The Studio was stopped before this job was done, and {why}. What was kept of it is used by Generate.",
    )  # fmt: skip


def files(entry: Entry) -> list[str]:
    """The paths of the media that a job was given."""
    many = (value if isinstance(value, list) else [value] for value in entry.asked.values())
    return [item["path"] for items in many for item in items if isinstance(item, dict) and "path" in item]


def _written(values: Mapping[str, Any]) -> str:
    return json.dumps({name: _plain(value) for name, value in values.items()})


def _plain(value: object) -> object:
    if isinstance(value, MediaHandle):
        return value.model_dump(mode="json", exclude_none=True)
    return [_plain(item) for item in cast(list[object], value)] if isinstance(value, list) else value


def _entry(row: Sequence[Any]) -> Entry:
    job, owner, mode, asked, billed, state, attempts, created, began, end, video, batch, label, aim = row
    handle = None
    with suppress(ValidationError):
        handle = MediaHandle.model_validate_json(video) if video else None
    return Entry(
        job, owner, mode, json.loads(asked), bool(billed), state, attempts, created, began, end, handle,
        batch, label, json.loads(aim) if aim else None,
    )  # fmt: skip


def _hold(path: Path) -> int:
    """Keeps other Studios away from a book: two would each begin the other's jobs anew."""
    held = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise UnavailableError(f"another Studio of yours keeps its jobs in {path}") from None
    return held
