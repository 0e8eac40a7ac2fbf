"""How soon a fresh process takes its first step: with the compiler's cache empty, full, or empty beside a package.

`python -m bench.gpu start` has three of them, of which each makes a clip twice; the first writes the package.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

CACHES = {"cold": "compiled", "warm": "compiled", "package": "empty"}
"""Where torch keeps what it compiles; without a compiler there is no package, and no third process."""
STEPS = 4
CHECKPOINT = "wan2.1-t2v-14b"
SIZE = (832, 480, 81)


def measure(size: tuple[int, int, int] = SIZE, weights: str = "wan") -> Iterator[dict[str, Any]]:
    """A row for each process."""
    with tempfile.TemporaryDirectory(prefix="wan-start-") as root:
        package = Path(root) / "package"
        for cache, place in CACHES.items():
            if cache == "package" and not package.exists():
                return
            kept = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": f"{root}/{place}"}
            kept.pop("TRITON_CACHE_DIR", None)  # then it lies in the other
            asked = {"began": time.time(), "size": size, "weights": weights, "root": root, "cache": cache}
            done = subprocess.run(
                [sys.executable, "-m", "bench.gpu.start", json.dumps(asked)],
                env=kept, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True, check=True,
            )  # fmt: skip
            row = {"way": cache, "checkpoint": CHECKPOINT, "size": [*size]}
            row |= json.loads(done.stdout.splitlines()[-1])
            print(json.dumps(row), flush=True)
            yield row


def child(began: float, size: tuple[int, int, int], weights: Any, root: str, cache: str) -> dict[str, Any]:
    """Of a process that was asked for at `began` (by the clock of the wall): seconds of its first and second clip."""
    from bench import full_size
    from bench.engine import T2V
    from bench.gpu import clip, timeline
    from common.runtime.fast import packages
    from common.runtime.model import load
    from common.settings import SpaceSettings

    load.pipeline_class(T2V.pipeline)
    said: dict[str, Any] = {"imports": round(time.time() - began, 2)}
    package = Path(root) / "package"
    if cache == "package":
        taking = time.monotonic()
        said |= {"notice": packages.take(package), "taking": round(time.monotonic() - taking, 2)}
    with full_size.loaded(Path(root)) if weights == "wan" else nullcontext():
        engine = T2V(SpaceSettings(weights=weights))
        request = clip.Case(CHECKPOINT, "fast", size, STEPS).request(STEPS)
        plan = engine.plan(request)
        first, second = (timeline.clip(engine, request, plan) for _ in range(2))
    if cache == "cold" and plan.placement and plan.placement.compile != "none":
        said["package_mb"] = round(packages.save(package, CHECKPOINT)[0].stat().st_size / 1e6, 1)
    return said | beyond(first, second) | {
        name: {"seconds": each.seconds, "stages": each.stages, "steps": each.steps}
        for name, each in (("first", first), ("second", second))
    }


def beyond(first: Any, second: Any) -> dict[str, float]:
    """What the first clip takes that a later one does not, in seconds.

    Of its first step, and of its second, which is the first that is rounded: from the end of loading, less what
    reading the prompt and a step take afterwards. Of the whole clip: less loading, all of it and of its decode.
    """
    loading = first.stages["encode"] - first.stages["load"]
    each = second.step_seconds
    said = {
        "loading": loading,
        "to_first_step": first.steps[0] - first.stages["encode"],
        "step": each,
        "first_step_beyond": first.steps[0] - first.stages["encode"] - each,
        "second_step_beyond": first.steps[1] - first.steps[0] - each,
        "decode_beyond": _decoded(first) - _decoded(second),
        "clip_beyond": first.seconds - loading - second.seconds,
    }
    return {name: round(value, 2) for name, value in said.items()}


def _decoded(clip: Any) -> float:
    """Until the first frames are there."""
    return clip.stages["save"] - clip.stages["decode"]


if __name__ == "__main__":
    print(json.dumps(child(**json.loads(sys.argv[1]))))
