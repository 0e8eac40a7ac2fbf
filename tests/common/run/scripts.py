"""Pieces of what a job tells, for tests of who follows it."""

from __future__ import annotations

from common.contract import Done, Lineage, MediaHandle
from common.modes.base import Mode
from common.run.runner import Progress


def done_of(mode: Mode, seed: int = 7) -> Progress:
    """A video and its last event."""
    plan = mode.plan(mode.parse({"prompt": "a red circle", "seed": seed}), weights="nano")
    asked = {"prompt": "a red circle"}
    lineage = Lineage(request=asked, plan=plan, seed=seed, versions={}, git_sha="test", created="")
    event = Done(plan=plan, seed=seed, seconds=1.0, lineage=lineage, sha256="0" * 64)
    return MediaHandle(path=f"/results/{mode.key}-{seed}.mp4", mime="video/mp4"), event
