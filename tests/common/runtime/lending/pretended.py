"""An app whose engine pretends: a worker imports it by its path, as any app."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import cache
from common.contract import Done, Heartbeat, Lineage, Notice, Step
from common.errors import GpuError
from common.run.service import Ready
from common.runtime.lending.lender import Held
from common.runtime.zerogpu import Carried


class Pretended:
    """Its prompt says what happens: `hold` waits for a stop, `raise`, `refuse`; else four steps and a file."""

    pipeline = "WanPipeline"

    def __init__(self) -> None:
        self.unloaded = 0
        self.begun: list[str] = []
        self.closed: list[str] = []
        self.has: list[Held] = []
        self.go = threading.Event()
        """`wait` waits for it."""

    def run(self, ready: Ready[Any]) -> Iterator[Carried]:
        words = ready.request.prompt
        self.begun.append(words)
        self.has = [Held(ready.plan.checkpoint, "nano")]
        try:
            for step in range(4):
                yield None, Step(index=step + 1, total=4, eta_seconds=0, t=step / 10)
                while words.startswith("hold") or (words.startswith("wait") and not self.go.is_set()):
                    time.sleep(0.01)
                    yield None, Heartbeat(t=step / 10)
            if words.startswith("raise"):
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            if words.startswith("refuse"):
                yield None, GpuError("Out of GPU memory; try a smaller size")
                return
            yield None, Notice(text=f"process {os.getpid()}")
            path = cache.results() / f"{words.replace(' ', '-')}-{ready.plan.seed}.mp4"
            path.write_bytes(words.encode() * 3)
            yield str(path), done(ready)
        finally:
            self.closed.append(words)

    def reads(self, ready: Ready[Any]) -> list[Path]:
        return ready.inputs.get("reads", [])

    def writes(self, ready: Ready[Any]) -> list[Path]:
        return ready.inputs.get("writes", [])

    def unload(self) -> None:
        self.unloaded += 1

    def own(self) -> list[Held]:
        return self.has


def done(ready: Ready[Any]) -> Done:
    lineage = Lineage(request={}, plan=ready.plan, seed=ready.plan.seed, versions={}, git_sha="", created="")
    return Done(plan=ready.plan, seed=ready.plan.seed, seconds=0.4, lineage=lineage, sha256="", t=0.4)


service = Pretended()
