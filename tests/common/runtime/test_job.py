"""A job's stream: heartbeats, errors and stops, with work that does nothing but wait."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from common.errors import Cancelled, WeightsError
from common.runtime.job import HEARTBEAT, Job, Made, stream
from common.runtime.turns import Turns


def test_silent_work_still_yields_twice_a_second():
    def work(job: Job) -> Made:
        job.stage("load", "Loading")
        time.sleep(2)
        raise WeightsError("nothing here")

    assert HEARTBEAT < 0.5
    seen: list[Any] = []
    with pytest.raises(WeightsError):
        for _, event in stream(work, Turns()):
            seen.append(event)
    # 2 s hold four; counting them, not timing them, keeps a busy machine from failing this.
    assert [e.name for e in seen if e.type == "stage"].count("load") >= 4


def test_closing_stops_the_work_and_waits_for_its_end():
    ended = threading.Event()

    def work(job: Job) -> Made:
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

    def work(job: Job) -> Made:
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
