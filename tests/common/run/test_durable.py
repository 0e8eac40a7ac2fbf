"""Jobs that go on by themselves: nobody looks, two look, the Studio dies in the middle."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.budgets import BUDGETS
from common.contract import Done, Event, MediaHandle, Notice, Queued, Stage, Step
from common.errors import Cancelled, GpuError, InputError, StudioError, UnavailableError
from common.modes.all import MODES
from common.run.book import Book
from common.run.durable import DurableRunner
from common.run.fake import FakeRunner
from common.run.line import Line
from common.run.runner import OWNER, VISITOR, Progress
from router.visitors import owner_of
from tests.common.fakes import manifest
from tests.common.run.scripts import done_of
from tests.common.run.ten_jobs import JOBS

T2V = MODES["t2v"]
ASKED = {"prompt": "a red circle", "seed": 7}
ME, YOU = {VISITOR: "1" * 32}, {VISITOR: "2" * 32}


class Held(FakeRunner):
    """Does one thing at a time, as the test says: each `go` lets one more event of one job out."""

    def __init__(self, *script: Progress | Exception) -> None:
        super().__init__(T2V, manifest(T2V), list(script))
        self.gate = asyncio.Semaphore(0)
        self.headers: list[Mapping[str, str]] = []

    def go(self, count: int = 1) -> None:
        for _ in range(count):
            self.gate.release()

    async def stream(
        self, values: Mapping[str, Any], headers: Mapping[str, str] | None = None, job: str | None = None
    ) -> AsyncGenerator[Progress, None]:
        self.headers.append(headers or {})
        self.asked.append(dict(values))
        try:
            for item in self.script:
                await self.gate.acquire()
                if isinstance(item, Exception):
                    raise item
                yield item
        except asyncio.CancelledError:
            self.closed += 1
            raise


STEPS: list[Progress] = [
    (None, Stage(name="load", text="Loading")), *[(None, Step(index=i, total=3)) for i in (1, 2, 3)]
]  # fmt: skip


def over(inner: FakeRunner, book: Book | None = None) -> DurableRunner:
    line = Line(book or Book(), {inner.mode.key: inner})
    return DurableRunner(inner, line, lambda visitor: owner_of(visitor, personal=False))


async def heard(runner: DurableRunner, job: str, headers: Mapping[str, str] = ME) -> list[Progress]:
    return [update async for update in runner.follow(job, headers)]


def names(updates: list[Progress]) -> list[str]:
    return [e.type for _, e in updates if e.type != "heartbeat"]


async def until(true: Callable[[], object]) -> None:
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 60))  # type: ignore[arg-type]


def test_a_page_that_is_closed_ends_nothing_and_one_that_opens_sees_all() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        inner.go(2)
        async with aclosing(runner.stream(ASKED, ME)) as updates:
            async for _, event in updates:
                if isinstance(event, Step):
                    break
        job = runner.newest(ME)
        assert job and runner.newest(YOU) is None
        first, second = asyncio.create_task(heard(runner, job)), asyncio.create_task(heard(runner, job))
        inner.go(9)
        for updates in (await first, await second):
            video, last = updates[-1]
            assert isinstance(last, Done) and video == MediaHandle(path="/results/t2v-7.mp4", mime="video/mp4")
            assert names(updates)[0] == "stage"
        assert names(await heard(runner, job))[-1] == "done", "and who comes when all is over"
        assert inner.closed == 0 and len(inner.asked) == 1

    run(test)


def test_jobs_of_one_lane_run_one_after_the_other_and_say_how_many_are_ahead() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        jobs = [await runner.enter({**ASKED, "seed": seed}, ME) for seed in (1, 2, 3)]
        await until(lambda: len(inner.asked) == 1)
        waits = asyncio.create_task(heard(runner, jobs[2]))
        for begun in (2, 3):
            inner.go(5)
            await until(lambda begun=begun: len(inner.asked) == begun)
        inner.go(5)
        updates = await waits
        assert [e.position for _, e in updates if isinstance(e, Queued)] == [2, 1]
        assert [asked["seed"] for asked in inner.asked] == [1, 2, 3]

    run(test)


def test_a_job_that_is_cancelled_ends_alone_wherever_it_is() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        runs, waits, last = [await runner.enter({**ASKED, "seed": seed}, ME) for seed in (1, 2, 3)]
        await until(lambda: inner.asked)
        for job in (runs, waits):
            runner.cancel(job, YOU)
        assert [e.state for e in runner.line.book.entries(owner_of("1" * 32, personal=False))] == [
            "running", "waiting", "waiting",
        ], "a stranger cancels nothing"  # fmt: skip
        runner.cancel(waits, ME)
        with pytest.raises(Cancelled):
            await heard(runner, waits)
        runner.cancel(runs, ME)
        with pytest.raises(Cancelled):
            await heard(runner, runs)
        inner.go(5)
        assert names(await heard(runner, last))[-1] == "done"
        assert inner.closed == 1 and len(inner.asked) == 2

    run(test)


def test_a_job_that_is_cancelled_before_its_first_moment_ends_and_holds_up_nobody() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        mine, job = owner_of(ME[VISITOR], personal=False) or "", str(uuid4())
        runner.line.add(mine, job, "t2v", ASKED, {})  # it has its turn, and its task has not begun
        assert runner.line.cancel(mine, [job]) == 1
        with pytest.raises(Cancelled):
            await heard(runner, job)
        inner.go(5)
        assert names(await heard(runner, await runner.enter(ASKED, ME)))[-1] == "done"
        assert len(inner.asked) == 1

    run(test)


def test_one_job_that_fails_touches_no_other_and_says_why_to_who_comes_later() -> None:
    async def test() -> None:
        inner = Held(STEPS[0], GpuError("out of memory"))
        runner = over(inner)
        bad = await runner.enter(ASKED, ME)
        inner.go(2)
        for _ in range(2):
            with pytest.raises(GpuError, match="out of memory"):
                await heard(runner, bad)
        inner.script = [*STEPS, done_of(T2V)]
        good = await runner.enter(ASKED, ME)
        inner.go(5)
        assert names(await heard(runner, good))[-1] == "done"

    run(test)


def test_a_stream_that_ends_without_a_video_has_failed() -> None:
    async def test() -> None:
        inner = Held(STEPS[0])
        runner = over(inner)
        inner.go(2)
        with pytest.raises(StudioError, match="without a video"):
            await heard(runner, await runner.enter(ASKED, ME))

    run(test)


def test_what_breaks_a_rule_is_refused_before_it_is_entered() -> None:
    async def test() -> None:
        runner = over(Held())
        with pytest.raises(InputError, match="num_frames"):
            await runner.enter({**ASKED, "num_frames": 80}, ME)
        with pytest.raises(InputError, match="job must be a UUID"):
            await runner.enter(ASKED, ME, "mine")
        assert runner.newest(ME) is None

    run(test)


def test_a_strangers_job_is_as_one_that_does_not_exist() -> None:
    async def test() -> None:
        runner = over(Held(*STEPS))
        job = await runner.enter(ASKED, ME)
        told = []
        for name in (job, "00000000-0000-0000-0000-000000000000"):
            with pytest.raises(InputError) as caught:
                await heard(runner, name, YOU)
            told.append(caught.value.text)
        assert told[0] == told[1]
        with pytest.raises(InputError, match="job must be new"):
            await runner.enter(ASKED, YOU, job)

    run(test)


def test_a_click_that_comes_twice_is_one_job() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        job = await runner.enter(ASKED, ME)
        assert await runner.enter(ASKED, ME, job) == job
        inner.go(9)
        assert names(await heard(runner, job))[-1] == "done" and len(inner.asked) == 1

    run(test)


def test_a_paused_line_begins_nothing_of_its_owner_and_all_of_others() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        mine = owner_of(ME[VISITOR], personal=False)
        runner.line.pause(mine, True)
        held, other = await runner.enter({**ASKED, "seed": 1}, ME), await runner.enter({**ASKED, "seed": 2}, YOU)
        inner.go(5)
        await heard(runner, other, YOU)
        assert [asked["seed"] for asked in inner.asked] == [2] and runner.line.ahead(held) is None
        runner.line.pause(mine, False)
        inner.go(5)
        assert names(await heard(runner, held))[-1] == "done"

    run(test)


def test_a_mode_is_told_whose_job_it_is_and_who_pays_and_nothing_else() -> None:
    async def test() -> None:
        inner = Held(*STEPS, done_of(T2V))
        runner = over(inner)
        sent = {**ME, "x-ip-token": "abc", "cookie": "secret", OWNER: "somebody else"}
        job = await runner.enter(ASKED, sent)
        inner.go(9)
        await heard(runner, job)
        assert inner.headers == [{"x-ip-token": "abc", OWNER: owner_of(ME[VISITOR], personal=False)}]

    run(test)


def test_a_visitor_may_not_fill_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        runner = over(Held(*STEPS))
        for _ in range(BUDGETS.visitor_jobs + 1):  # one of them runs
            await runner.enter(ASKED, ME)
        with pytest.raises(UnavailableError, match="wait already"):
            await runner.enter(ASKED, ME)
        await runner.enter(ASKED, YOU)

    run(test)


def test_a_notice_is_told_once_to_each_who_follows() -> None:
    async def test() -> None:
        inner = Held((None, Notice(text="shortened")), *STEPS, done_of(T2V))
        runner = over(inner)
        job = await runner.enter(ASKED, ME)
        inner.go(9)
        events: list[Event] = [event for _, event in await heard(runner, job)]
        assert [e.text for e in events if isinstance(e, Notice)] == ["shortened"]

    run(test)


def test_a_studio_that_is_stopped_politely_puts_back_what_runs(tmp_path: Path) -> None:
    async def begun() -> None:
        runner = over(Held(*STEPS), book)
        await runner.enter(ASKED, ME)
        await asyncio.sleep(0)

    book = Book(tmp_path / "jobs.sqlite")
    run(begun)  # the loop ends, and cancels the task
    assert [job.owner for job in book.line()] == [owner_of(ME[VISITOR], personal=False)]
    book.close()


@pytest.mark.parametrize("after", [0, 13, 29])
def test_kill_9_in_the_middle_of_ten_loses_none_of_them(tmp_path: Path, after: int) -> None:
    """The process dies after so many steps of thirty; the next one accounts for all ten."""
    command = [sys.executable, "-m", "tests.common.run.ten_jobs", str(tmp_path / "jobs.sqlite")]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert first.stdout
    if after == 0:
        while not Path(tmp_path / "jobs.sqlite").exists():
            assert first.poll() is None
    for _ in range(after):
        assert first.stdout.readline()
    first.kill()
    first.communicate(timeout=30)
    subprocess.run(command, timeout=120, check=True, stdout=subprocess.DEVNULL)
    book = Book(tmp_path / "jobs.sqlite")
    entries = {entry.id: entry for entry in book.entries("me")}
    assert sorted(entries) == JOBS
    assert {entry.state for entry in entries.values()} == {"done"}
    assert {e.video.path for e in entries.values() if e.video} == {f"/results/t2v-{n}.mp4" for n in range(10)}
    assert sum(e.attempts for e in entries.values()) in (10, 11)
    book.close()
