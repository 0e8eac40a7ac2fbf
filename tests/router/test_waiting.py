"""The Queue page: what it says of each job, and that it does nothing with another's."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from typing import Any
from uuid import uuid4

import pytest

from common.contract import Failed, Stage, Step, Stopped
from common.run.book import Book
from common.run.line import Line
from router import waiting
from tests.common.run.test_durable import Held

ME, YOU = "me", "you"


def line() -> Line:
    return Line(Book(), {"t2v": Held(), "i2v": Held()})


def enter(line: Line, prompt: str = "a red circle", owner: str = ME, mode: Any = "t2v") -> str:
    return line.book.add(owner, str(uuid4()), mode, {"prompt": prompt}).id


def states(line: Line) -> dict[str, str]:
    return {entry.id: entry.state for entry in line.book.entries(ME)}


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def test_a_visitor_without_jobs_is_led_to_make_one() -> None:
    assert 'data-page="t2v"' in waiting.page(line(), ME) == waiting.page(line(), None)


def test_each_job_says_how_far_it_is() -> None:
    here = line()
    runs, loads, failed, stopped = (enter(here) for _ in range(4))
    for job in (runs, loads, failed, stopped):
        here.book.begin(job)
    here.book.write(runs, Step(index=3, total=4, eta_seconds=7))
    here.book.write(loads, Stage(name="load", text="Loading the model"))
    here.book.end(failed, "failed", Failed(code="gpu", title="GPU not available", text="out of memory"))
    here.book.end(stopped, "cancelled", Stopped())
    html = waiting.page(here, ME)
    for words in (
        "step 3 of 4, 7 s left", "Loading the model", "GPU not available: out of memory", "stopped",
        "2 running · 1 failed · 1 stopped", "width:75%", 'data-waiting="2"',
    ):  # fmt: skip
        assert words in html, words


def test_what_strangers_wrote_is_text() -> None:
    here = line()
    job = enter(here, '<img src=x onerror="alert(1)"> & "quotes"')
    here.book.end(job, "failed", Failed(code="e", title="<b>", text="<script>"))
    html = waiting.page(here, ME)
    assert "<img" not in html and "<script" not in html and "&lt;img" in html
    assert not re.search(r'="[^"]*"quotes"', html)


@pytest.mark.parametrize("what", ["up", "down", "cancel", "forget", "show", "pause", "clear", "cancel-all"])
def test_nobody_does_anything_with_anothers_job(what: str) -> None:
    async def test() -> None:
        here = line()
        jobs = [enter(here) for _ in range(3)]
        here.book.end(jobs[0], "cancelled", Stopped())
        here.pause(ME, True)  # that nothing begins
        before, order = states(here), here.book.line()
        for owner in (YOU, None):
            for job in jobs:
                assert waiting.act(here, owner, what, job) is None
        assert states(here) == before and here.book.line() == order and ME in here.book.paused()

    in_loop(test)


@pytest.mark.parametrize("what", [None, "", 7, ["cancel"], {"a": 1}, "cancel", "delete from jobs"])
@pytest.mark.parametrize("job", [None, 7, ["x"], {"a": 1}, "x" * 10_000, "'; DROP TABLE jobs; --"])
def test_what_no_button_says_does_nothing(what: object, job: object) -> None:
    async def test() -> None:
        here = line()
        enter(here)
        assert waiting.act(here, ME, what, job) is None and set(states(here).values()) == {"waiting"}

    in_loop(test)


def test_the_buttons_do_what_they_say() -> None:
    async def test() -> None:
        here = line()
        here.pause(ME, True)
        first, second, third = (enter(here) for _ in range(3))
        waiting.act(here, ME, "up", third)
        assert [job.id for job in here.book.line()] == [first, third, second]
        waiting.act(here, ME, "down", first)
        assert [job.id for job in here.book.line()] == [third, first, second]
        assert "held back" in waiting.page(here, ME) and 'data-do="resume"' in waiting.page(here, ME)
        waiting.act(here, ME, "cancel", third)
        assert states(here)[third] == "cancelled" and waiting.act(here, ME, "show", third) == third
        waiting.act(here, ME, "forget", third)
        assert third not in states(here)
        waiting.act(here, ME, "cancel-all", "")
        assert set(states(here).values()) == {"cancelled"}
        waiting.act(here, ME, "clear", "")
        assert states(here) == {}

    in_loop(test)


def test_a_long_list_is_cut_and_counted() -> None:
    here = line()
    for number in range(waiting.SHOWN + 5):
        enter(here, str(number))
    html = waiting.page(here, ME)
    assert html.count("<li") == waiting.SHOWN and "and 5 more" in html


def test_a_mode_has_a_name_in_the_list() -> None:
    here = line()
    enter(here, mode="i2v")
    assert ">I2V</b>" in waiting.page(here, ME)
