"""Many jobs at once through real Space apps: none lost, none crossed, none cancelled by a neighbour."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import httpx
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


def test_concurrency_every_job_gets_its_own_video(fleet: Fleet) -> None:
    async def all_at_once() -> list[tuple[int, str]]:
        return await asyncio.wait_for(asyncio.gather(*(finish(fleet, seed) for seed in range(50))), 240)

    results = asyncio.run(all_at_once())
    assert [seed for seed, _ in results] == list(range(50))
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


def test_concurrency_waiting_jobs_do_not_hold_the_event_loop(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blocking request from the event loop to its own process waits for itself."""
    send, sent, blocking = httpx.Client.send, [], []

    def watched(client: httpx.Client, request: httpx.Request, **options: Any) -> httpx.Response:
        sent.append(request.url)
        with suppress(RuntimeError):
            blocking.append((asyncio.get_running_loop(), request.url))
        return send(client, request, **options)

    monkeypatch.setattr(httpx.Client, "send", watched)

    async def all_at_once() -> None:
        await asyncio.wait_for(asyncio.gather(*(finish(fleet, seed) for seed in range(10))), 60)

    asyncio.run(all_at_once())
    assert sent and not blocking
