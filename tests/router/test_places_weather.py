"""Two places on a bad day: cut, late and refused connections, processes killed at random; no job hangs or is lost."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from uuid import uuid4

import pytest

from common.contract import Done, Event, Failed, Notice, Step
from common.errors import UnavailableError
from common.modes.all import MODES
from common.run.runner import VISITOR
from router.federation import Place
from router.health import ask
from tests.router.places import VALUES, Copy, Job, studio_over, until
from tests.router.weather import Weather

JOBS, ROUNDS = 10, 3


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, Copy]]:
    folder = tmp_path_factory.mktemp("weather")
    two = (Copy(folder / "first", hold_at=99).start(), Copy(folder / "second", hold_at=99).start())
    yield two
    for copy in two:
        copy.end()


@pytest.mark.parametrize("seed", [1, 2])
def test_in_bad_weather_each_job_ends_once_with_its_video_or_by_name(pair: tuple[Copy, Copy], seed: int) -> None:
    weathers = [Weather(copy.port, random.Random(seed * 10 + i)).start() for i, copy in enumerate(pair)]
    studio = studio_over(*(Place("t2v", f"http://127.0.0.1:{w.own_port}/t2v/") for w in weathers))

    async def test() -> None:
        for weather in weathers:
            weather.badness = 0.25
        jobs = [Job(studio, seed * 1000 + number) for number in range(JOBS)]
        ends = await asyncio.gather(*(job.task for job in jobs), return_exceptions=True)
        for job, end in zip(jobs, ends, strict=True):
            finished = [event for event in job.events if isinstance(event, Done)]
            if isinstance(end, BaseException):
                assert isinstance(end, UnavailableError), end
                assert not finished and len(job.notices()) <= 1
            else:
                assert len(finished) == 1 and finished[0].seed == job.seed
        assert any(not isinstance(end, BaseException) for end in ends), "it is weather, not a flood"
        for weather in weathers:
            weather.badness = 0.0
        for place in studio.watcher.federation["t2v"]:
            studio.watcher.note(await asyncio.to_thread(ask, place))
        await Job(studio, seed * 1000 + 999).task  # and when it clears all is well

    asyncio.run(asyncio.wait_for(test(), 240))
    assert not any(studio.busy.values())
    assert sum(w.seen["refuse"] + w.seen["cut"] for w in weathers) > 0
    for weather in weathers:
        weather.end()
    studio.watcher.stop()


def test_places_killed_at_random_lose_no_job_that_had_no_step(pair: tuple[Copy, Copy]) -> None:
    rng = random.Random(3)
    studio = studio_over(*(copy.place for copy in pair))

    async def one_round(number: int) -> None:
        victim = rng.choice(pair)
        jobs = [Job(studio, 5000 + 10 * number + i, {"num_inference_steps": 6}) for i in range(4)]
        await until(lambda: victim.jobs() > 0, "it has a job")
        await asyncio.sleep(rng.uniform(0, 0.5))
        assert victim.process is not None
        victim.process.kill()
        for job in jobs:
            try:
                await job.task
            except UnavailableError:
                assert job.said(Step), "it had no step: it should have gone on elsewhere"
        await asyncio.to_thread(victim.start)
        for copy in pair:
            studio.watcher.note(await asyncio.to_thread(ask, copy.place))

    async def test() -> None:
        for number in range(ROUNDS):
            await one_round(number)
        await Job(studio, 5999).task

    asyncio.run(asyncio.wait_for(test(), 240))
    assert not any(studio.busy.values())
    studio.watcher.stop()


def test_the_studios_line_runs_a_job_a_place(pair: tuple[Copy, Copy]) -> None:
    first, second = pair
    studio = studio_over(first.place, second.place)
    told: dict[str, list[Event]] = {}

    async def enter(seed: int) -> str:
        values = {**VALUES, "num_inference_steps": 4, "seed": seed}
        return await runner.enter(values, headers, str(uuid4()))

    async def follow(job: str) -> None:
        told[job] = [event async for _, event in runner.follow(job, headers)]

    async def test() -> None:
        ids = [await enter(6000 + number) for number in range(5)]
        await asyncio.gather(*(follow(job) for job in ids))

    runner = studio.runner(MODES["t2v"])
    headers = {VISITOR: "v" * 40}
    most, begin = 0, studio.book.begin

    def counted(job: str) -> bool:
        nonlocal most
        begun = begin(job)
        most = max(most, len(studio.line._tasks) + 1)
        return begun

    studio.book.begin = counted  # type: ignore[method-assign]
    asyncio.run(asyncio.wait_for(test(), 120))
    assert most == 2, "one job a place"
    assert all(isinstance(events[-1], Done) for events in told.values())
    assert not any(isinstance(e, Failed | Notice) for events in told.values() for e in events)
    studio.watcher.stop()
