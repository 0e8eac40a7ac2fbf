"""The seam between a Space's page and its engine: what `build_space` needs of whoever makes the video."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from common.contract import Event, Manifest, Parent, Plan, Prepared, Request
from common.modes.base import Mode

Update = tuple[str | None, Event]
"""What a generation yields: the path of the finished video (None until `done`) and an event."""


@dataclass(frozen=True)
class Ready:
    """A job whose media were opened, once: all that is needed to make its video, wherever the GPU is.

    `request` has its handles measured, `plan` knows how long its clips are, `inputs` are the pipeline's own
    arguments, `notices` what was changed to make them. It is pickled on its way to a ZeroGPU worker.
    """

    request: Request
    plan: Plan
    inputs: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    notices: tuple[str, ...] = ()
    parents: tuple[Parent, ...] = ()


class Service(Protocol):
    """One mode, ready to work. All but `generate` run in the Space's own process."""

    mode: Mode

    def manifest(self) -> Manifest:
        """What this Space is and has."""
        ...

    def plan(self, request: Request) -> Plan:
        """The plan on this machine; InputError for a rule broken."""
        ...

    def preflight(self, request: Request, plan: Plan, stop: threading.Event) -> Ready:
        """Open every media input on the CPU, before a GPU second is spent.

        Raises MediaError, and Cancelled soon after `stop` is set.
        """
        ...

    def generate(self, ready: Ready) -> Iterator[Update]:
        """Make the video. On ZeroGPU this is the decorated function: closing it cancels the job."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A service that can show what it will give to the model before it does: `/prepare`."""

    def prepare(self, ready: Ready) -> Prepared:
        """The control media of a job that went through `preflight`."""
        ...


@runtime_checkable
class Administered(Protocol):
    """A service whose memory and disk its callers may free, who know the `admin` secret: `/admin`."""

    @property
    def admin(self) -> str:
        """The secret that a caller must give; empty where this Space allows it to nobody."""
        ...

    def unload(self) -> None:
        """Let the loaded models go; a running job keeps its own until it ends."""
        ...

    def clear_cache(self) -> int:
        """Delete what was made here; how many bytes that freed."""
        ...
