"""Start, memory, clips, events and the router's share, measured side by side: `python -m bench.studio`.

Prints one JSON object. Run it on a quiet machine; `bench/README.md` keeps predictions and results.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import Any

from bench.serving import Running, studio
from common.contract import Done, Step
from common.modes.all import MODES
from common.run.remote import RemoteRunner
from common.run.runner import Runner
from router.dispatch import FederatedRunner, Studio
from router.federation import mounted
from router.health import ask

PROMPT = "a red circle moving right on a black background"
FAST = {"prompt": PROMPT, "checkpoint": "wan2.1-t2v-14b", "seed": 1}
QUALITY = {**FAST, "preset": "quality"}
TINY = {**FAST, "num_frames": 1, "num_inference_steps": 1}


async def job(runner: Runner, values: dict[str, Any]) -> dict[str, Any]:
    """One job: wall seconds, the mode's own seconds, and how late its events came."""
    begin = time.monotonic()
    first, done, video, lags = None, None, None, []
    async for found, event in runner.stream(values):
        now = time.monotonic() - begin
        first = now if first is None else first
        if isinstance(event, Step | Done):
            lags.append(now - event.t)
        if isinstance(event, Done):
            done, video = event, found
    assert done is not None and video is not None and first is not None
    # Clocks differ by the time to the first event, which every event shares.
    late = [lag - min(lags) for lag in lags]
    return {
        "wall": time.monotonic() - begin,
        "own": done.seconds,
        "first": first,
        "late": statistics.median(late),
        "video": video,
    }


def repeated(runner: Runner, values: dict[str, Any], times: int) -> list[dict[str, Any]]:
    """The same job several times, in turn."""
    return [asyncio.run(job(runner, values)) for _ in range(times)]


def median(rows: list[dict[str, Any]], key: str) -> float:
    """The median of one figure."""
    return round(statistics.median(row[key] for row in rows), 3)


def measure(running: Running) -> dict[str, Any]:
    """All figures of one running Studio."""
    table = mounted(running.url)
    shared = Studio.over(table)
    for places in table.values():
        for place in places:
            shared.watcher.note(ask(place))
    direct = RemoteRunner(MODES["t2v"], f"{running.url}t2v/")
    routed = FederatedRunner(MODES["t2v"], shared)
    idle = running.memory_mb()
    cold = repeated(direct, FAST, 1)
    fast, quality = repeated(direct, FAST, 3), repeated(direct, QUALITY, 2)
    pairs = [(repeated(direct, TINY, 1)[0], repeated(routed, TINY, 1)[0]) for _ in range(6)]
    clip = repeated(routed, FAST, 1)[0]["video"]
    sent = {"prompt": PROMPT, "image": clip.model_dump(), "image_from": "last", "seed": 1}
    repeated(FederatedRunner(MODES["i2v"], shared), sent, 1)
    return {
        "seconds_to_page": round(running.seconds_to_page, 2),
        "memory_mb_idle": round(idle),
        "memory_mb_after_jobs": round(running.memory_mb()),
        "t2v_fast_first_clip_seconds": median(cold, "own"),
        "t2v_fast_clip_seconds": median(fast, "own"),
        "t2v_quality_clip_seconds": median(quality, "own"),
        "event_late_seconds": median(quality, "late"),
        "job_overhead_direct_seconds": round(statistics.median(d["wall"] - d["own"] for d, _ in pairs), 3),
        "job_overhead_routed_seconds": round(statistics.median(r["wall"] - r["own"] for _, r in pairs), 3),
        "bytes_through_router_on_send_to": shared.traffic.relayed,
    }


def main() -> None:
    """Start, measure, print."""
    with studio("t2v", "i2v") as running:
        print(json.dumps(measure(running), indent=2))


if __name__ == "__main__":
    main()
