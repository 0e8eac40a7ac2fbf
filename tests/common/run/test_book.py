"""The book of jobs: nothing in it is lost, nothing of it is shown to a stranger."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from common.contract import Failed, Heartbeat, MediaHandle, Notice, Preview, Stage, Step, Stopped
from common.errors import InputError, UnavailableError
from common.run import book as books
from common.run.book import Book

ASKED = {"prompt": "a red circle", "seed": 7}


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    book = Book(tmp_path / "jobs.sqlite")
    yield book
    book.close()


def enter(book: Book, owner: str = "me", **more: object) -> str:
    return book.add(owner, str(uuid4()), "t2v", ASKED | more).id


def waiting(book: Book) -> list[str]:
    return [job.id for job in book.line()]


def test_a_job_is_there_again_as_it_was_asked(tmp_path: Path) -> None:
    first = Book(tmp_path / "jobs.sqlite")
    image = MediaHandle(path="/a/b.png", mime="image/png", sha256="0" * 64)
    job = first.add("me", str(uuid4()), "i2v", {**ASKED, "image": image, "more": [image]}).id
    first.close()
    entry = (second := Book(tmp_path / "jobs.sqlite")).entry("me", job)
    second.close()
    assert entry and entry.asked["prompt"] == "a red circle"
    assert MediaHandle.model_validate(entry.asked["image"]) == image
    assert books.files(entry) == ["/a/b.png", "/a/b.png"]


def test_who_asks_for_anothers_job_is_told_as_if_there_were_none(book: Book) -> None:
    job = enter(book)
    assert book.entry("you", job) is None is book.entry("you", str(uuid4()))
    assert not book.reorder("you", job, 1) and not book.forget("you", [job])
    assert book.entries("you") == [] and book.newest("you", "t2v") is None and book.waiting("you") == 0
    with pytest.raises(InputError, match="job must be new"):
        book.add("you", job, "t2v", ASKED)


def test_a_job_that_is_entered_twice_is_one(book: Book) -> None:
    job = enter(book)
    assert book.add("me", job, "t2v", {"prompt": "another"}).asked == ASKED
    assert waiting(book) == [job]


def test_jobs_trade_places_with_those_of_their_owner_alone(book: Book) -> None:
    a, b, c = enter(book), enter(book, "you"), enter(book)
    d = enter(book)
    assert book.reorder("me", d, -1) and waiting(book) == [a, b, d, c]
    assert book.reorder("me", d, -9) and waiting(book) == [d, b, a, c]
    assert book.reorder("me", d, 99) and waiting(book) == [a, b, c, d]


def test_the_newest_event_of_each_kind_is_kept_and_every_notice(book: Book) -> None:
    job = enter(book)
    for i in (1, 2, 3):
        book.write(job, Step(index=i, total=3))
        book.write(job, Preview(webp_base64=str(i)))
        book.write(job, Notice(text=str(i)))
        book.write(job, Heartbeat())
    events = book.events(job)
    assert [e.text for _, e in events if isinstance(e, Notice)] == ["1", "2", "3"]
    assert [(type(e).__name__, e.model_dump().get("index")) for _, e in events[-3:]] == [
        ("Step", 3), ("Preview", None), ("Notice", None),
    ]  # fmt: skip
    assert len(events) == 5
    assert book.events(job, after=events[-1][0]) == []


def test_nothing_happens_to_a_job_that_has_ended(book: Book) -> None:
    job = enter(book)
    assert book.begin(job) and not book.begin(job)
    book.end(job, "cancelled", Stopped(job=job))
    book.write(job, Stage(name="late", text="late"))
    book.end(job, "failed", Failed(job=job, code="error", title="", text=""))
    book.put_back(job)
    entry = book.entry("me", job)
    assert entry and entry.state == "cancelled" and not book.begin(job)
    assert [e.type for _, e in book.events(job)] == ["cancelled"]


def test_what_ran_when_the_studio_died_is_begun_once_more_and_then_failed_by_name(book: Book) -> None:
    first, second = enter(book), enter(book)
    book.begin(first)
    book.recover()
    assert waiting(book) == [first, second], "at its old place"
    book.begin(first)
    book.recover()
    entry = book.entry("me", first)
    assert entry and entry.state == "failed" and waiting(book) == [second]
    last = book.events(first)[-1][1]
    assert isinstance(last, Failed) and last.title == "Interrupted" and isinstance(last.error(), UnavailableError)


def test_what_was_put_back_has_lost_no_attempt(book: Book) -> None:
    job = enter(book)
    for _ in range(5):
        assert book.begin(job)
        book.put_back(job)
    book.begin(job)
    book.recover()
    assert waiting(book) == [job]


def test_nobody_pays_for_a_job_whose_visitor_is_gone(book: Book) -> None:
    jobs = [book.add("me", str(uuid4()), "t2v", ASKED, billed=True).id for _ in range(2)]
    book.begin(jobs[0])
    book.recover()
    assert [e.state for e in book.entries("me")] == ["failed", "failed"]


def test_the_job_to_come_back_to_is_the_one_that_runs_else_the_next_else_the_last(book: Book) -> None:
    first, second, third = enter(book), enter(book), enter(book)

    def newest() -> str:
        entry = book.newest("me", "t2v")
        assert entry
        return entry.id

    assert newest() == first
    book.begin(second)
    assert newest() == second
    for job in (second, first, third):
        book.end(job, "cancelled", Stopped())
    assert newest() == third and book.newest("me", "i2v") is None


def test_a_list_begins_with_what_runs_then_what_waits_then_what_ended(book: Book) -> None:
    jobs = [enter(book) for _ in range(5)]
    for job in jobs[:2]:
        book.begin(job)
        book.end(job, "cancelled", Stopped())
    book.begin(jobs[4])
    book.reorder("me", jobs[3], -1)
    assert [e.id for e in book.entries("me")] == [jobs[4], jobs[3], jobs[2], jobs[1], jobs[0]]


def test_what_ended_is_struck_out_and_what_runs_or_waits_never(
    book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, running, last = enter(book), enter(book), enter(book)
    book.begin(ended)
    book.end(ended, "cancelled", Stopped())
    book.begin(running)
    assert book.forget("me", [running, last]) == 0
    assert book.forget("me") == 1 and {e.id for e in book.entries("me")} == {running, last}
    assert book.events(ended) == []
    monkeypatch.setattr(books, "KEPT", 3)
    gone = [enter(book) for _ in range(5)]
    for job in gone:
        book.end(job, "cancelled", Stopped())
    book.prune()
    assert {e.id for e in book.entries("me")} == {running, last, *gone[2:]}


def test_a_book_does_not_grow_without_end(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books, "KEPT_IN_ALL", 4)
    monkeypatch.setattr(books, "PRUNED_EVERY", 10)
    for number in range(40):
        job = enter(book, f"visitor {number}")
        book.begin(job)
        book.write(job, Preview(webp_base64="a" * 20_000))
        book.write(job, Step(index=2, total=4))
        book.end(job, "cancelled", Stopped())
        assert [e.type for _, e in book.events(job)] == ["step", "cancelled"]
    assert sum(len(book.entries(f"visitor {number}")) for number in range(40)) <= 4 + 10


def test_an_owner_is_held_back_until_it_says_otherwise(book: Book) -> None:
    book.pause("me", True)
    book.pause("me", True)
    assert book.paused() == {"me"}
    book.pause("me", False)
    assert book.paused() == set()


def test_one_book_is_kept_by_one_studio(tmp_path: Path) -> None:
    first = Book(tmp_path / "jobs.sqlite")
    with pytest.raises(UnavailableError, match="another Studio"):
        Book(tmp_path / "jobs.sqlite")
    first.close()
    Book(tmp_path / "jobs.sqlite").close()


def test_a_file_that_is_no_book_is_told_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"not a database, but somebody's letter" * 99)
    before = path.read_bytes()
    with pytest.raises(UnavailableError, match="move it away"):
        Book(path)
    assert path.read_bytes() == before


def test_a_book_of_a_newer_version_is_told_and_left_alone(tmp_path: Path) -> None:
    Book(path := tmp_path / "jobs.sqlite").close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(UnavailableError, match="newer"):
        Book(path)


def test_many_threads_enter_and_begin_each_job_once() -> None:
    book, begun = Book(), []

    def work() -> None:
        job = enter(book)
        begun.extend(j for j in [*waiting(book), job] if book.begin(j))

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(begun) == len(set(begun)) == 20
