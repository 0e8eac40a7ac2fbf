"""The jobs of a batch in the book and in the line: together where they were asked for, each alone where it ends."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.budgets import BUDGETS
from common.contract import MediaHandle
from common.errors import Cancelled, GpuError, InputError, UnavailableError
from common.run.batch import Member, Spread, members
from common.run.book import Book, Entry
from common.run.durable import DurableRunner
from common.run.runner import Progress
from router.visitors import owner_of
from tests.common.fakes import manifest
from tests.common.run.scripts import done_of
from tests.common.run.test_durable import ASKED, ME, STEPS, T2V, YOU, Held, heard, names, over, run

MINE = owner_of("1" * 32, personal=False) or ""

FIRST_VERSION = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, owner TEXT NOT NULL, mode TEXT NOT NULL,
    asked TEXT NOT NULL, billed INTEGER NOT NULL, state TEXT NOT NULL, place REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, created REAL NOT NULL, began REAL, ended REAL, video TEXT,
    seen INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX jobs_owner ON jobs (owner, number);
CREATE INDEX jobs_state ON jobs (state, place);
CREATE TABLE events (
    number INTEGER PRIMARY KEY AUTOINCREMENT, job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    kind TEXT NOT NULL, body TEXT NOT NULL
);
CREATE INDEX events_job ON events (job, number);
CREATE TABLE paused (owner TEXT PRIMARY KEY);
PRAGMA user_version=1;
"""
"""What the Studio before batches has written."""


def few(count: int, **asked: Any) -> list[Member]:
    return members(T2V, manifest(T2V), {**ASKED, **asked}, Spread(count))


def entries(runner: DurableRunner, owner: str = MINE) -> list[Entry]:
    return runner.line.book.entries(owner)


def old_book(path: Path) -> list[str]:
    """A book of the first version with a job of every kind; their ids."""
    jobs = [str(uuid4()) for _ in range(3)]
    with sqlite3.connect(path) as db:
        db.executescript(FIRST_VERSION)
        for place, (job, state) in enumerate(zip(jobs, ("done", "running", "waiting"), strict=True)):
            db.execute(
                "INSERT INTO jobs (id, owner, mode, asked, billed, state, place, created, video)"
                " VALUES (?, ?, 't2v', ?, 0, ?, ?, 1e9, ?)",
                (job, MINE, json.dumps(ASKED), state, place, '{"path": "/a.mp4"}' if state == "done" else None),
            )
        db.execute(
            "INSERT INTO events (job, kind, body) VALUES (?, 'stage', ?)",
            (jobs[1], '{"type": "stage", "name": "load", "text": "Loading"}'),
        )
        db.execute("INSERT INTO paused VALUES ('somebody')")
    return jobs


def test_a_book_of_the_first_version_is_read_and_goes_on_as_one_of_this(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    done, ran, waits = old_book(path)
    for again in range(2):
        book = Book(path)
        entry = book.entry(MINE, done)
        assert entry and entry.state == "done" and entry.video == MediaHandle(path="/a.mp4")
        assert (entry.batch, entry.label, entry.aim) == (None, "", None) and entry.asked == ASKED
        assert [e.type for _, e in book.events(ran)] == ["stage"] and book.paused() == {"somebody"}
        assert [job.id for job in book.line()][:1] == [waits] and book.newest_batches("nobody") == []
        book.add_batch(MINE, f"{again}", "t2v", few(2))
        assert len(book.line()) == 1 + 2 * (again + 1)
        book.close()
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (2,)


def test_a_batch_is_there_again_as_it_was_asked(tmp_path: Path) -> None:
    book = Book(tmp_path / "jobs.sqlite")
    asked = few(3, seed=5)
    drafts = [Member(one.values, one.label, one.plan, aim={**one.values, "preset": "quality"}) for one in asked]
    book.add_batch("me", "a", "t2v", asked)
    book.add_batch("me", "b", "t2v", drafts)
    book.add_batch("me", "c", "i2v", asked)
    book.add_batch("you", "d", "t2v", asked)
    book.close()
    book = Book(tmp_path / "jobs.sqlite")
    assert [(e.label, e.asked["seed"], e.aim) for e in book.batch("me", "a")] == [
        ("seed 5", 5, None), ("seed 6", 6, None), ("seed 7", 7, None),
    ]  # fmt: skip
    assert [e.aim and e.aim["preset"] for e in book.batch("me", "b")] == ["quality"] * 3
    assert [e.batch for e in book.newest_batches("me")] == ["b"] * 3 + ["c"] * 3, "the last of each mode"
    assert book.batch("you", "a") == [] and {e.batch for e in book.newest_batches("you")} == {"d"}
    with pytest.raises(InputError, match="batch must be new"):
        book.add_batch("you", "a", "t2v", asked)
    book.forget("me")
    assert len(book.batch("me", "a")) == 3, "what waits stays"
    book.close()


def test_a_batch_that_cannot_be_written_leaves_nothing_behind() -> None:
    book = Book()
    broken = [*few(2), Member({"prompt": object()}, "", few(1)[0].plan)]
    with pytest.raises(TypeError):
        book.add_batch("me", "a", "t2v", broken)
    assert book.entries("me") == [] and book.line() == []
    assert len(book.add_batch("me", "a", "t2v", few(2))) == 2


def test_members_run_one_after_the_other_and_may_change_places() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        jobs = await runner.enter_batch(few(3, seed=5), ME, str(uuid4()))
        runner.line.reorder(MINE, jobs[2], -1)
        inner.go(15)
        for job in jobs:
            assert names(await heard(runner, job))[-1] == "done"
        assert [asked["seed"] for asked in inner.asked] == [5, 7, 6]
        assert {e.label: e.state for e in entries(runner)} == {f"seed {n}": "done" for n in (5, 6, 7)}

    run(test)


def test_a_batch_that_is_entered_twice_is_one_and_a_strangers_is_none() -> None:
    async def test() -> None:
        runner, batch = over(Held(*STEPS)), str(uuid4())
        jobs = await runner.enter_batch(few(3), ME, batch)
        assert await runner.enter_batch(few(3), ME, batch) == jobs and len(entries(runner)) == 3
        with pytest.raises(InputError, match="batch must be new"):
            await runner.enter_batch(few(2), YOU, batch)
        assert entries(runner, owner_of("2" * 32, personal=False) or "") == []
        for headers in ({}, None):
            with pytest.raises(InputError, match="visitor must be known"):
                await runner.enter_batch(few(2), headers, str(uuid4()))

    run(test)


def test_one_that_breaks_a_rule_keeps_all_out() -> None:
    async def test() -> None:
        runner = over(Held(*STEPS))
        bad = Member({**ASKED, "num_frames": 80}, "", few(1)[0].plan)
        with pytest.raises(InputError, match="num_frames"):
            await runner.enter_batch([*few(2), bad], ME)
        assert entries(runner) == []

    run(test)


def test_what_does_not_fit_into_a_visitors_line_is_refused_whole_and_told_how_many_would() -> None:
    async def test() -> None:
        runner = over(Held(*STEPS))
        for _ in range(BUDGETS.visitor_jobs - 2):
            await runner.enter(ASKED, ME)  # the first of them runs
        with pytest.raises(UnavailableError, match=r"97 do: 3 more fit, not 4"):
            await runner.enter_batch(few(4), ME)
        assert len(entries(runner)) == BUDGETS.visitor_jobs - 2
        assert len(await runner.enter_batch(few(3), ME)) == 3
        with pytest.raises(UnavailableError, match="none fits, not 2"):
            await runner.enter_batch(few(2), ME)
        assert len(await runner.enter_batch(few(2), YOU)) == 2

    run(test)


class OneFails(Held):
    """The job with seed 5 fails."""

    async def stream(self, values: Any, headers: Any = None, job: Any = None) -> AsyncGenerator[Progress, None]:
        bad = values["seed"] == 5
        self.script = [STEPS[0], GpuError("out of memory")] if bad else [*STEPS, done_of(T2V)]
        async with aclosing(super().stream(values, headers, job)) as updates:
            async for update in updates:
                yield update


def test_a_member_that_fails_or_is_cancelled_touches_no_other() -> None:
    async def test() -> None:
        inner = OneFails()
        runner = over(inner)
        bad, gone, good = await runner.enter_batch(few(3, seed=5), ME)
        runner.cancel(gone, ME)
        inner.go(9)
        with pytest.raises(GpuError, match="out of memory"):
            await heard(runner, bad)
        with pytest.raises(Cancelled):
            await heard(runner, gone)
        assert names(await heard(runner, good))[-1] == "done"
        assert {e.label: e.state for e in entries(runner)} == {
            "seed 5": "failed", "seed 6": "cancelled", "seed 7": "done",
        }  # fmt: skip

    run(test)


def test_the_media_of_a_draft_are_named_in_what_it_stands_for() -> None:
    book = Book()
    image = MediaHandle(path="/a/b.png", mime="image/png")
    values = {**ASKED, "image": image}
    (entry,) = book.add_batch("me", "a", "i2v", [Member(values, "", few(1)[0].plan, aim=values)])
    assert entry.aim == entry.asked and MediaHandle.model_validate(entry.asked["image"]) == image
    assert entry.aim and MediaHandle.model_validate(entry.aim["image"]) == image
