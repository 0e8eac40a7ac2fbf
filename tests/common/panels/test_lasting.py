"""A panel whose jobs go on without it: back to one, one behind another, and none of a stranger's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import gradio as gr
import pytest

from common.contract import Stage, Step
from common.errors import InputError
from common.modes.all import MODES
from common.panels.all import PANELS
from common.run.book import Book
from common.run.durable import DurableRunner
from common.run.line import Line
from router.visitors import owner_of
from tests.common.fakes import manifest
from tests.common.panels.test_panels import page
from tests.common.run.scripts import done_of
from tests.common.run.test_durable import Held, until

T2V = MODES["t2v"]
ME, YOU = "1" * 32, "2" * 32
LOADING, STEP = (None, Stage(name="load", text="Loading")), (None, Step(index=1, total=4))


def request(tab: str = "a") -> Any:
    return SimpleNamespace(headers={}, session_hash=tab)


def panel(*script: Any) -> Any:
    """A panel, drawn; its runner's events wait for `go`."""
    inner = Held(*script)
    line = Line(Book(), {"t2v": inner})
    runner = DurableRunner(inner, line, lambda visitor: owner_of(visitor, personal=False))
    with gr.Blocks():
        made = PANELS["t2v"](runner, manifest(T2V))
        made.draw()
    return made


async def all_of(updates: Any) -> list[list[Any]]:
    return [update async for update in updates]


def generate(made: Any, job: str, visitor: str = ME, tab: str = "a") -> asyncio.Task[list[list[Any]]]:
    values = page(made, prompt="a red circle")
    return asyncio.create_task(all_of(made._generate(request(tab), job, visitor, False, *values)))


def again(made: Any, job: str, visitor: str = ME, tab: str = "b") -> asyncio.Task[list[list[Any]]]:
    return asyncio.create_task(all_of(made._again(request(tab), f"{job} 1", visitor)))


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))


def test_a_second_tab_sees_the_job_of_the_first_and_both_its_video() -> None:
    async def test() -> None:
        made, job = panel(LOADING, STEP, done_of(T2V)), str(uuid4())
        first = generate(made, job)
        made.runner.inner.go(2)
        await until(lambda: made.runner.newest({"x-wan-visitor": ME}))
        second = again(made, job)
        made.runner.inner.go()
        for updates in (await first, await second):
            assert updates[-1][0] == done_of(T2V)[0] and updates[-1][6] == 7, "its video, and its seed"
            assert updates[-1][3]["interactive"] is True
        assert (await second)[0][3]["interactive"] is False, "busy, as soon as it is known"

    run(test)


@pytest.mark.parametrize("visitor", [YOU, ""])
def test_a_stranger_neither_sees_nor_stops_a_job(visitor: str) -> None:
    async def test() -> None:
        made, job = panel(LOADING, STEP, done_of(T2V)), str(uuid4())
        mine = generate(made, job)
        made.runner.inner.go()
        await until(lambda: made.runner.newest({"x-wan-visitor": ME}))
        made.stops._running.pop(job)  # as in a Studio that was started again: what a page told it is gone
        seen = (await again(made, job, visitor))[-1]
        assert seen[0] == gr.skip() and "not known here" in seen[1]
        stopped = await made._stop(request("b"), job, visitor, False)
        assert "Stopped." in stopped[1], "as for a job that there is not"
        assert made._next(request("b"), visitor)[0] == gr.skip()
        made.runner.inner.go(2)
        assert (await mine)[-1][0] == done_of(T2V)[0]

    run(test)


def test_stop_ends_the_job_for_all_who_look() -> None:
    async def test() -> None:
        made, job = panel(LOADING, STEP, done_of(T2V)), str(uuid4())
        first = generate(made, job)
        made.runner.inner.go()
        await until(lambda: made.runner.newest({"x-wan-visitor": ME}))
        second = again(made, job)
        await asyncio.sleep(0)
        assert await made._stop(request("b"), job, ME, False) == [gr.skip()] * 5, "the job says it itself"
        for updates in (await first, await second):
            assert "Stopped." in updates[-1][2] and updates[-1][3]["interactive"] is True

    run(test)


def test_a_job_that_is_stopped_before_it_came_never_runs() -> None:
    async def test() -> None:
        made, job = panel(LOADING), str(uuid4())
        await made._stop(request(), job, ME, False)
        made.runner.inner.go(9)
        assert "Stopped." in (await generate(made, job))[-1][2]
        await asyncio.sleep(0.1)
        assert made.runner.newest({"x-wan-visitor": ME}, alive=True) is None

    run(test)


def test_a_page_that_is_shown_another_job_hears_no_more_of_the_one_before() -> None:
    async def test() -> None:
        made, job, other = panel(LOADING, STEP, done_of(T2V)), str(uuid4()), str(uuid4())
        made.runner.inner.go(3)
        await generate(made, other)
        first = generate(made, job)
        made.runner.inner.go()
        await until(lambda: made.runner.newest({"x-wan-visitor": ME}, alive=True))
        shown = await again(made, other, tab="a")
        assert len(shown) == 1 and shown[0][0] == done_of(T2V)[0]
        assert made._next(request(), ME)[0] == gr.skip(), "what was looked up stays on the page"
        made.runner.inner.go(2)
        assert all(update[0] == gr.skip() for update in await first)

    run(test)


def test_what_waits_behind_a_job_is_looked_at_after_it() -> None:
    async def test() -> None:
        made, job = panel(LOADING, done_of(T2V)), str(uuid4())
        first = generate(made, job)
        await until(lambda: made.runner.newest({"x-wan-visitor": ME}))
        said = await made._enter(request(), ME, *page(made, prompt="a <b>blue</b> square"))
        assert "Added to the queue" in said and "&lt;b&gt;" in said
        made.runner.inner.go(2)
        await first
        following, said = made._next(request(), ME)
        assert following == f"{made.runner.newest({'x-wan-visitor': ME}, alive=True)} next" and said == ""
        second = generate(made, str(uuid4()), tab="b")
        await asyncio.sleep(0.1)
        assert made._next(request("b"), ME)[0] == gr.skip(), "it looks at one that has not ended"
        made.runner.inner.go(4)
        await second

    run(test)


def test_what_breaks_a_rule_is_not_added_and_said_in_the_pages_words() -> None:
    async def test() -> None:
        made = panel(LOADING)
        with pytest.raises(InputError, match=r"^Frames must be 4k"):
            await made._enter(request(), ME, *page(made, prompt="a", num_frames=80))
        assert made.runner.newest({"x-wan-visitor": ME}) is None

    run(test)


@pytest.mark.parametrize(
    ("prompt", "told"), [("a {red|blue} circle", True), ("a {red} circle", False), ("a|b", False)]
)
def test_a_prompt_with_choices_says_before_the_click_what_makes_a_clip_of_each(prompt: str, told: bool) -> None:
    made = panel()
    label = asyncio.run(made._relabel(*page(made, prompt=prompt)))
    assert ("Variations makes one clip of each" in label) is told
