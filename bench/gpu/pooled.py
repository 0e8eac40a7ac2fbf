"""A job on each worker of a pool under Ray against one at a time: `python -m bench.gpu.pooled [--workers 2]`.

A card a worker, each with a 14B of full size and random weights. Each worker's clip alone, then all at once, several
times; the throughput is how many clips come in the time that one takes alone, at the mean. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.gpu.parallel import CHECKPOINT, SIZES

ROUNDS = 2


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu.pooled", description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--steps", type=int, default=4, help="of a clip, each with guidance")
    parser.add_argument("--weights", choices=("wan", "nano"), default="wan", help="nano: tried on a CPU")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wan-pooled-") as folder:
        os.environ |= {
            "WAN_ENGINE": "ray", "WAN_REPLICAS": str(args.workers), "WAN_WEIGHTS": args.weights,
            "BENCH_FOLDER": folder, "GRADIO_TEMP_DIR": f"{folder}/results",
        }  # fmt: skip
        if args.weights == "wan":
            from bench import full_size
            from common.catalog import CHECKPOINTS

            full_size.folder(CHECKPOINTS[CHECKPOINT], Path(folder) / CHECKPOINT)
        row = measure(args.workers, args.steps, args.weights)
    print(json.dumps(row))
    if args.out:
        args.out.write_text(json.dumps(row, indent=1) + "\n")


def measure(workers: int, steps: int, weights: str) -> dict[str, Any]:
    """One row."""
    from bench.gpu import clip
    from common.runtime import again
    from common.runtime.job import Job

    began = time.monotonic()
    engine = again.load(Path(__file__).with_name("replica.py")).service
    engine.backend = engine.backend.model_copy(update={"step_cache": False})
    up = time.monotonic() - began
    size = SIZES[-1] if weights == "wan" else (128, 128, 17)
    request = clip.Case(CHECKPOINT, "quality", size, steps).request(steps)
    ready = engine.preflight(request, engine.plan(request), Job())

    def together(count: int) -> list[float]:
        """Seconds that each of so many jobs took, which begin at once."""
        took, failed = [0.0] * count, list[Exception]()

        def job(number: int) -> None:
            try:
                start = time.monotonic()
                kinds = [getattr(item, "type", repr(item)) for _, item in engine.on_gpu(ready)]
                took[number] = time.monotonic() - start
                if kinds[-1] != "done":
                    raise RuntimeError(kinds[-1])
            except Exception as error:
                failed.append(error)

        threads = [threading.Thread(target=job, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failed:
            raise failed[0]
        return [round(seconds, 2) for seconds in took]

    first = together(workers)
    # Where a model is loaded everywhere, the one longest idle is taken: each in its turn.
    alone = [together(1)[0] for _ in range(ROUNDS * workers)]
    whole = [together(workers) for _ in range(ROUNDS)]
    each = statistics.median(max(round_) for round_ in whole)
    return {
        "workers": workers, "size": [*size], "steps": steps, "machine": engine.backend.name,
        "versions": {name: version(name) for name in ("ray", "torch", "diffusers")},
        "pool_up_seconds": round(up, 1), "first": first, "alone": alone, "together": whole,
        "throughput": round(workers * statistics.mean(alone) / each, 3),
        "throughput_against_the_fastest": round(workers * min(alone) / each, 3),
    }  # fmt: skip


if __name__ == "__main__":
    main()
