"""A hard day: hundreds of jobs, a hundred at once, and jobs that are stopped at every moment of their lives.

More rounds find no more on two cores: `ROUNDS = 10`, a thousand jobs, and 50 cycles were run when this was written.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import pytest

from common.contract import Done
from tests.router.conftest import Fleet

pytestmark = pytest.mark.slow
VALUES = {"prompt": "a red circle", "num_frames": 1, "num_inference_steps": 1}
ROUNDS, AT_ONCE, CYCLES = 3, 100, 20


async def finish(fleet: Fleet, seed: int) -> tuple[int, str]:
    async for video, event in fleet.runner("t2v").stream({**VALUES, "seed": seed}):
        if isinstance(event, Done):
            assert video is not None
            return event.seed, video.path
    raise AssertionError(f"job {seed} ended without its video")


def test_concurrency_hundreds_of_jobs_are_all_there_and_nobody_elses(fleet: Fleet) -> None:
    async def all_at_once(first: int) -> list[tuple[int, str] | BaseException]:
        jobs = (finish(fleet, seed) for seed in range(first, first + AT_ONCE))
        return await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 300)

    wrong: list[object] = []
    for number in range(ROUNDS):
        first = 10_000 + number * AT_ONCE
        for seed, result in enumerate(asyncio.run(all_at_once(first)), first):
            if (
                isinstance(result, BaseException)
                or result[0] != seed
                or not Path(result[1]).is_file()
                or f"-{seed}" not in Path(result[1]).name
            ):
                wrong.append((seed, result))
    assert not wrong, f"{len(wrong)} of {ROUNDS * AT_ONCE}: {wrong[:5]}"
    assert not any(fleet.studio.busy.values())


def test_concurrency_a_job_stopped_at_any_moment_leaves_its_slot(fleet: Fleet) -> None:
    service, rng = fleet.services["t2v"], random.Random(9)
    service.log.clear()
    waits: list[float] = []

    async def cycle(number: int) -> None:
        long = fleet.runner("t2v").stream({**VALUES, "num_inference_steps": 50, "num_frames": 81, "seed": 1})

        async def follow() -> None:
            async for _ in long:
                pass

        task = asyncio.create_task(follow())
        await asyncio.sleep(rng.choice([0.0, rng.uniform(0, 0.1), rng.uniform(0, 1.0)]))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await long.aclose()
        stopped = time.monotonic()
        assert (await asyncio.wait_for(finish(fleet, 20_000 + number), 60))[0] == 20_000 + number
        waits.append(time.monotonic() - stopped)

    # One that is not stopped goes on for half a minute: a cancel is on its way for a while.
    service.pause = 0.5

    async def all_of_them() -> None:
        for number in range(CYCLES):
            await cycle(number)

    try:
        asyncio.run(all_of_them())
    finally:
        service.pause = 0.0
    print(
        f"after a stop the next job was through in {sorted(waits)[CYCLES // 2]:.2f} s, {max(waits):.2f} at most"
    )
    assert service.log.count("done") == CYCLES, "a stopped job was made all the same"
