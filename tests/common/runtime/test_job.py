"""A job's stream: heartbeats, errors and stops, with work that does nothing but wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import pytest

from common.contract import Step
from common.errors import Cancelled, WeightsError
from common.panels.card import Card
from common.run.service import Update
from common.runtime.device.turns import Turns
from common.runtime.job import HEARTBEAT, Job, in_turn
from common.runtime.job import work as worked


def stream(work: Callable[[Job], None], line: Turns) -> Generator[Update, None, None]:
    """Work in its turn, as an engine does it."""
    job = Job()
    leave = yield from in_turn(line, job)
    try:
        yield from worked(work, job)
    finally:
        leave()


def test_silent_work_still_yields_twice_a_second():
    def work(job: Job) -> None:
        job.stage("load", "Loading")
        time.sleep(2)
        raise WeightsError("nothing here")

    assert HEARTBEAT < 0.5
    seen: list[Any] = []
    with pytest.raises(WeightsError):
        for _, event in stream(work, Turns()):
            seen.append(event)
    # 2 s hold four; counting them, not timing them, keeps a busy machine from failing this.
    assert [e.type for e in seen].count("heartbeat") >= 4
    assert [e.type for e in seen].count("stage") == 1, "a stage is told when it begins, and once"


def test_a_long_step_is_not_undone_by_the_heartbeats_after_it():
    card = Card.clicked()
    beats = 0

    def work(job: Job) -> None:
        job.stage("denoise", "Denoising, 24 steps")
        job.say(Step(index=5, total=24, t=job.seconds()))
        job.stop.wait(60)
        raise Cancelled()

    with closing(stream(work, Turns())) as running:
        for _, event in running:
            card = card.after(event)
            beats += event.type == "heartbeat"
            if beats == 2:
                break
    assert "Step 5 of 24" in card.card() and "Denoising" not in card.card()
    assert card.elapsed >= 2 * HEARTBEAT, "the time goes on"


def test_closing_stops_the_work_and_waits_for_its_end():
    ended = threading.Event()

    def work(job: Job) -> None:
        try:
            while True:
                time.sleep(0.01)
                job.check()
        except Cancelled:
            time.sleep(0.2)
            ended.set()
            raise

    line = Turns()
    running = stream(work, line)
    next(running)
    next(running)
    running.close()
    assert ended.is_set()
    nobody = line.enter()
    assert nobody.position == 0


def test_two_jobs_never_run_at_once():
    busy = threading.Lock()
    overlaps: list[int] = []

    def work(job: Job) -> None:
        if not busy.acquire(blocking=False):
            overlaps.append(1)
        time.sleep(0.1)
        busy.release()
        raise Cancelled()

    line = Turns()

    def consume() -> None:
        with pytest.raises(Cancelled):
            list(stream(work, line))

    threads = [threading.Thread(target=consume) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not overlaps


def test_a_stage_says_how_far_it_is_and_not_too_often():
    job = Job()
    job.stage("prepare", "Making the control")
    for done in range(1000):
        job.check(done, 1000)
    job.check(1000, 1000)
    job.events.put(None)
    told = list(iter(job.events.get, None))
    assert {(e.name, e.text) for e in told} == {("prepare", "Making the control")}
    counts = [(e.done, e.total) for e in told]
    assert counts[0] == (None, None) and counts[-1] == (1000, 1000)
    assert len(counts) < 10 + job.seconds() / 0.1
    assert "Making the control · 1000 of 1000" in Card.clicked().after(told[-1]).card()


def test_a_notice_is_said_once():
    job = Job()
    for text in ("a", "b", "a"):
        job.note(text)
    assert job.notices == ["a", "b"] and job.events.qsize() == 2
