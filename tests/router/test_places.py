"""Several places of a mode: jobs spread by what the places report, and go on elsewhere when one fails in time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import Any

import pytest
from gradio_client import Client

from common.contract import Done, Jobs, Step
from common.errors import InputError, UnavailableError
from common.run import pulse
from router import asking, busy
from router.asking import UPDATING
from router.busy import Sent
from router.dispatch import Studio
from router.federation import Place
from router.health import ask
from tests.router.conftest import Fleet
from tests.router.places import VALUES, Copy, Job, Told, studio_over, until


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Copy, Copy]]:
    folder = tmp_path_factory.mktemp("pair")
    two = (Copy(folder / "first"), Copy(folder / "second"))
    for copy in two:
        copy.start()
    yield two
    for copy in two:
        copy.end()


@pytest.fixture
def two(pair: tuple[Copy, Copy]) -> Iterator[tuple[Copy, Copy, Studio]]:
    """Both places alive, idle and not held."""
    for copy in pair:
        copy.hold.unlink(missing_ok=True)
        if copy.process is None or copy.process.poll() is not None:
            copy.start()
        copy.admin("undrain")
        for video in copy.folder.rglob("*.mp4"):
            video.unlink()
    studio = studio_over(*(copy.place for copy in pair))
    yield (*pair, studio)
    studio.watcher.stop()
    for copy in pair:
        copy.hold.unlink(missing_ok=True)


def play(test: Coroutine[Any, Any, None], seconds: float = 120) -> None:
    asyncio.run(asyncio.wait_for(test, seconds))


# ---------------------------------------------------------------------- the least busy


def test_two_jobs_of_one_moment_go_to_two_places(two: tuple[Copy, Copy, Studio]) -> None:
    first, second, studio = two

    async def test() -> None:
        first.hold.touch()
        second.hold.touch()
        jobs = [Job(studio, seed) for seed in (1, 2, 3, 4)]
        await until(lambda: (first.jobs(), second.jobs()) == (2, 2), "two and two")
        first.hold.unlink()
        second.hold.unlink()
        await asyncio.gather(*(job.task for job in jobs))

    play(test())
    assert (len(first.videos()), len(second.videos())) == (2, 2)
    assert not any(studio.busy.values()) and studio.sent.since(first.place) == 0


def test_a_place_with_the_jobs_of_somebody_else_is_avoided_and_equals_go_in_order(
    two: tuple[Copy, Copy, Studio],
) -> None:
    first, second, studio = two

    async def test() -> None:
        await Job(studio, 1).task
        assert first.videos() and not second.videos(), "the first of equals"
        first.hold.touch()
        program = Client(first.place.where, verbose=False, token=False, ssl_verify=False, download_files=False)
        theirs = [program.submit(**{**VALUES, "seed": seed}, api_name="/generate") for seed in (7, 8)]
        await until(lambda: first.jobs() == 2, "a program's jobs are there")
        await Job(studio, 2).task
        assert second.videos() == ["t2v-2.mp4"]
        first.hold.unlink()
        await asyncio.to_thread(lambda: [job.result(60) for job in theirs])

    play(test())


def test_the_line_begins_as_many_jobs_as_the_places_do_at_once() -> None:
    places = [Told({"at_once": 4}).start(), Told({"at_once": 1}).start(), Told(None).start()]
    studio = studio_over(*(told.place for told in places))
    assert studio._at_once("t2v") == 4 + 1 + 1
    assert studio._at_once("i2v") == 1
    for told in places:
        told.end()


LIES = [
    {"waiting": -5}, {"running": "none"}, {"waiting": 10**30}, {"waiting": 2**31 - 1}, {"waiting": 1.5}, [], "5", 3,
    {"at_once": 0}, {"at_once": 10**6}, {"running": True, "waiting": None},
]  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_a_place_that_says_nonsense_gets_no_job_and_stops_none(
    two: tuple[Copy, Copy, Studio], lie: object
) -> None:
    first, _, _ = two
    liar = Told().start()
    studio = studio_over(liar.place, first.place)
    assert len(studio.watcher.ready("t2v")) == 2
    liar.jobs = lie
    play(done(studio))
    assert not any(path for path in liar.asked if not path.endswith("run/manifest"))
    assert studio._at_once("t2v") <= 2
    liar.end()
    studio.watcher.stop()


def test_an_answer_that_does_not_come_stops_no_job(two: tuple[Copy, Copy, Studio]) -> None:
    first, _, _ = two
    slow = Told().start()
    studio = studio_over(slow.place, first.place)
    slow.delay = 3600.0
    play(done(studio))
    assert first.videos()
    slow.end()
    studio.watcher.stop()


def test_where_no_place_answers_the_jobs_of_this_studio_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "JUST_NOW_SECONDS", 0.2)
    places = [Told().start(), Told().start()]
    studio = studio_over(*(told.place for told in places))
    for told in places:
        told.delay = 3600.0
    ready = studio.watcher.ready("t2v")

    async def chosen() -> Place:
        found, others = await busy.least_busy(ready, studio.sent, studio.token_for)
        assert found is not None and others == []
        return found.place

    assert asyncio.run(chosen()) == places[0].place
    studio.sent.sent(places[0].place, "a job")
    assert asyncio.run(chosen()) == places[1].place
    for told in places:
        told.end()


def test_a_place_that_does_more_at_once_has_more_room() -> None:
    one, four = Told({"running": 1}).start(), Told({"running": 3, "at_once": 4}).start()
    studio = studio_over(one.place, four.place)
    found, _ = asyncio.run(busy.least_busy(studio.watcher.ready("t2v"), studio.sent, studio.token_for))
    assert found is not None and found.place == four.place
    one.end()
    four.end()


def test_what_was_sent_counts_until_the_place_can_have_counted_it() -> None:
    place, sent = Place("t2v", "a/b"), Sent()
    sent.sent(place, "one")
    before = time.monotonic()
    assert sent.since(place, before) == 1
    sent.heard(place, "one")
    assert (sent.since(place, before), sent.since(place, time.monotonic()), sent.since(place)) == (1, 0, 1)
    sent.over(place, "one")
    assert sent.since(place) == 0


# ---------------------------------------------------------------------- a place that fails


async def done(studio: Studio, **more: object) -> None:
    await Job(studio, more=more).task


def test_killed_before_the_first_step_a_job_ends_on_the_other_place_once(two: tuple[Copy, Copy, Studio]) -> None:
    first, second, studio = two

    async def test() -> None:
        first.hold.touch()
        job = Job(studio, 11)
        await until(lambda: first.jobs() == 1, "it loads on the first")
        assert first.process is not None
        first.process.kill()
        await job.task
        (notice,) = job.notices()
        assert f"127.0.0.1:{first.port} failed before the first step" in notice
        assert notice.endswith(f"; the job goes on at 127.0.0.1:{second.port}")
        assert len({event.job for event in job.events}) == 1 and job.events[0].job
        assert [e.t for e in job.events] == sorted(e.t for e in job.events), "one clock"
        assert [e.index for e in job.events if isinstance(e, Step)] == [1, 2, 3]

    play(test())
    assert second.videos() == ["t2v-11.mp4"] and first.videos() == []
    assert not any(studio.busy.values())
    assert studio.watcher.statuses("t2v")[0].state == "down"
    play(done(studio))  # and the next job is fine


def test_killed_after_the_first_step_a_job_fails_by_name_and_the_next_is_fine(
    two: tuple[Copy, Copy, Studio],
) -> None:
    first, second, studio = two

    async def test() -> None:
        job = Job(studio, 12, more={"num_inference_steps": 50})
        await until(lambda: job.said(Step), "it works")
        assert first.process is not None
        first.process.kill()
        with pytest.raises(UnavailableError, match="Text to Video"):
            await job.task
        assert not job.notices() and not job.said(Done)
        await Job(studio, 13).task

    play(test())
    assert second.videos() == ["t2v-13.mp4"]


def test_a_frozen_place_loses_its_job_and_does_not_do_it_too_when_it_thaws(
    two: tuple[Copy, Copy, Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, studio = two
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", 0.5)

    async def test() -> None:
        first.hold.touch()
        job = Job(studio, 14)
        await until(lambda: first.jobs() == 1, "it loads on the first")
        assert first.process is not None
        first.process.send_signal(signal.SIGSTOP)
        try:
            await job.task
        finally:
            first.process.send_signal(signal.SIGCONT)
        assert len(job.notices()) == 1
        await until(lambda: first.jobs() == 0, "the first has let go")

    play(test())
    first.hold.unlink()
    assert second.videos() == ["t2v-14.mp4"] and first.videos() == []


def test_a_place_that_answers_and_then_dies_is_left_for_the_next(two: tuple[Copy, Copy, Studio]) -> None:
    first, _, _ = two
    mortal, broken = Told({"waiting": 0}).start(), Told({"waiting": 0}).start()
    studio = studio_over(mortal.place, broken.place, first.place)
    mortal.dies = True

    async def test() -> None:
        job = Job(studio)
        await job.task
        assert len(job.notices()) == 2, "each place once"

    play(test())
    assert len(first.videos()) == 1
    broken.end()
    studio.watcher.stop()


def test_where_every_place_fails_the_last_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    places = [Told({}).start(), Told({}).start()]
    studio = studio_over(*(told.place for told in places))

    async def test() -> None:
        job = Job(studio)
        with pytest.raises(UnavailableError, match="Text to Video cannot be reached"):
            await job.task
        assert len(job.notices()) == 1

    play(test())
    for told in places:
        assert sum("config" in path for path in told.asked) >= 1
        told.end()
    studio.watcher.stop()


def test_what_is_wrong_with_the_request_goes_nowhere_else(two: tuple[Copy, Copy, Studio]) -> None:
    *_, studio = two

    async def test() -> None:
        job = Job(studio, more={"num_frames": 80})
        with pytest.raises(InputError, match="4k"):
            await job.task
        assert job.events == []

    play(test())
    assert not any(studio.busy.values())


def test_a_stop_ends_the_job_and_moves_it_nowhere(two: tuple[Copy, Copy, Studio]) -> None:
    first, second, studio = two

    async def test() -> None:
        first.hold.touch()
        job = Job(studio, 15)
        await until(lambda: first.jobs() == 1, "it loads")
        job.task.cancel()
        await asyncio.gather(job.task, return_exceptions=True)
        await until(lambda: first.jobs() == 0, "the place has let go")

    play(test())
    assert second.jobs() == 0 and not second.videos()


def test_a_stranger_is_told_no_address_of_this_network() -> None:
    inside, space = Place("t2v", "http://10.0.0.7:7861/"), Place("t2v", "ada/wan-t2v")
    public = Place("t2v", "https://t2v.example.com/")
    hosted, own = (Studio.over({"t2v": (space, inside, public)}, personal=p) for p in (False, True))
    assert [hosted.name_of(p) for p in (space, inside, public)] == ["ada/wan-t2v", "place 2", "t2v.example.com"]
    assert own.name_of(inside) == "10.0.0.7:7861"


# ---------------------------------------------------------------------- draining


def test_a_draining_place_ends_its_job_and_gets_no_other(two: tuple[Copy, Copy, Studio]) -> None:
    first, second, studio = two

    async def test() -> None:
        first.hold.touch()
        old = Job(studio, 21)
        await until(lambda: first.jobs() == 1, "it loads on the first")
        await asyncio.to_thread(first.admin, "drain")
        new = Job(studio, 22)
        await new.task
        assert new.notices() == [], "it was not even sent there"
        assert studio.watcher.statuses("t2v")[0].state == "draining"
        first.hold.unlink()
        await old.task
        await asyncio.to_thread(first.admin, "undrain")
        studio.watcher.note(await asyncio.to_thread(ask, first.place))
        await Job(studio, 23).task

    play(test())
    assert first.videos() == ["t2v-21.mp4", "t2v-23.mp4"] and second.videos() == ["t2v-22.mp4"]


def test_the_only_place_is_waited_for_while_it_is_updated(two: tuple[Copy, Copy, Studio]) -> None:
    first = two[0]
    studio = studio_over(first.place)

    async def test() -> None:
        await asyncio.to_thread(first.admin, "drain")  # the Studio has not heard of it
        job = Job(studio, 24)
        await until(lambda: any(UPDATING in getattr(e, "text", "") for e in job.events), "it is told")
        assert not job.task.done() and studio.watcher.statuses("t2v")[0].state == "draining"
        await asyncio.to_thread(first.end)  # updated: it comes back as another process, which is not draining
        studio.watcher.note(await asyncio.to_thread(ask, first.place))
        assert studio.watcher.statuses("t2v")[0].state == "draining", "gone is being updated, not down"
        await asyncio.to_thread(first.start)
        await job.task
        assert job.notices() == []

    play(test())
    assert first.videos() == ["t2v-24.mp4"]
    studio.watcher.stop()


def test_a_job_that_a_draining_place_refuses_goes_to_the_other(
    two: tuple[Copy, Copy, Studio], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, studio = two
    ask_just_now = busy.ask_just_now

    async def then_drains(status: Any, token: str | None) -> Any:
        answer = await ask_just_now(status, token)
        if status.place == first.place:
            await asyncio.to_thread(first.admin, "drain")
        return answer

    monkeypatch.setattr(busy, "ask_just_now", then_drains)

    async def test() -> None:
        job = Job(studio, 25)
        await job.task
        (notice,) = job.notices()
        assert "is being updated and takes no new jobs" in notice

    play(test())
    assert second.videos() == ["t2v-25.mp4"] and not first.videos()


def test_what_is_mounted_here_does_together_what_one_of_it_does_at_once(fleet: Fleet) -> None:
    studio = fleet.studio
    assert studio._at_once("here") == 1
    (status,) = studio.watcher.ready("t2v")
    assert status.manifest is not None
    four = status.manifest.model_copy(update={"jobs": Jobs(at_once=4)})
    studio.watcher.note(replace(status, manifest=four))
    assert studio._at_once("here") == 4
    studio.watcher.note(status)
