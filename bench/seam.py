"""What a worker under Ray costs a job beside its work: `python -m bench.seam [--jobs N]`.

The same jobs of Wan-Nano, one by one and in turns, through `Engine.run` in this process and through a pool of one
worker on this machine's CPU. Of each is taken how long it took beyond what the work itself says. Prints one JSON
object; run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from typing import Any

os.environ |= {"WAN_ENGINE": "ray", "WAN_REPLICAS": "1", "WAN_DEVICE": "cpu", "WAN_CHECKPOINTS": ""}


def overhead(work: Iterator[Any]) -> float:
    """Milliseconds of a job outside of its work."""
    began = time.perf_counter()
    done = [item for _, item in work if item.type == "done"][-1]
    return 1000 * (time.perf_counter() - began - done.seconds)


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20)
    args = parser.parse_args()
    os.environ.setdefault("GRADIO_TEMP_DIR", tempfile.mkdtemp(prefix="wan-seam-"))
    import launch

    launch.prepare_environment("nano")
    from common.runtime.job import Job

    engine = launch.load_space("t2v").service
    request = engine.mode.parse({"prompt": "a red circle moves right on black.", "preset": "Fast", "seed": 1})
    ready = engine.preflight(request, engine.plan(request), Job())
    found: dict[str, list[float]] = {"here": [], "worker": []}
    for number in range(args.jobs + 1):
        here, there = overhead(engine.run(ready)), overhead(engine.on_gpu(ready))
        if number:  # the first loads
            found["here"].append(here)
            found["worker"].append(there)
    medians = {name: round(statistics.median(each), 1) for name, each in found.items()}
    most = {name: round(max(each), 1) for name, each in found.items()}
    print(json.dumps({"jobs": args.jobs, "median_ms": medians, "most_ms": most}))


if __name__ == "__main__":
    main()
