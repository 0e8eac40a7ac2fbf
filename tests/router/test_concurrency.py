"""Many jobs at once through real Space apps: none lost, none crossed, none cancelled by a neighbour."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from common.contract import Done, Step
from tests.router.conftest import Fleet

VALUES = {"prompt": "a red circle", "num_frames": 1, "num_inference_steps": 2}


async def finish(fleet: Fleet, seed: int) -> tuple[int, str]:
    async for video, event in fleet.runner("t2v").stream({**VALUES, "seed": seed}):
        if isinstance(event, Done):
            assert video is not None
            return event.seed, video.path
    raise AssertionError("no done")


@pytest.mark.parametrize("count", [50, pytest.param(100, marks=pytest.mark.slow)])
def test_concurrency_every_job_gets_its_own_video(fleet: Fleet, count: int) -> None:
    async def all_at_once() -> list[tuple[int, str]]:
        return await asyncio.wait_for(
            asyncio.gather(*(finish(fleet, seed) for seed in range(count))), timeout=240
        )

    results = asyncio.run(all_at_once())
    assert [seed for seed, _ in results] == list(range(count))
    assert all(path.endswith(f"-{seed}.mp4") and Path(path).is_file() for seed, path in results)


def test_concurrency_cancelling_one_job_never_touches_another(fleet: Fleet) -> None:
    service = fleet.services["t2v"]
    service.pause, service.log[:] = 0.1, []
    service.closed.clear()

    async def leave_early() -> None:
        async with aclosing(fleet.runner("t2v").stream({**VALUES, "num_inference_steps": 50})) as updates:
            async for _, event in updates:
                if isinstance(event, Step):
                    return

    async def both() -> tuple[int, str]:
        leaving = asyncio.create_task(leave_early())
        await asyncio.sleep(0.3)
        staying = asyncio.create_task(finish(fleet, 77))
        await leaving
        return await asyncio.wait_for(staying, 30)

    try:
        assert asyncio.run(both())[0] == 77
        assert service.closed.wait(5), "the cancelled job went on"
        assert service.log.count("done") == 1
    finally:
        service.pause = 0.0


def test_concurrency_waiting_jobs_do_not_hold_the_event_loop(fleet: Fleet) -> None:
    service = fleet.services["t2v"]
    service.pause = 0.05

    async def measure() -> float:
        jobs = [asyncio.create_task(finish(fleet, seed)) for seed in range(10)]
        worst = 0.0
        while not all(job.done() for job in jobs):
            before = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - before)
        await asyncio.gather(*jobs)
        return worst

    try:
        assert asyncio.run(measure()) < 2.0  # a blocking call to our own process would be 5 s and more
    finally:
        service.pause = 0.0
