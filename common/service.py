"""The seam between a Space's page and its engine: what `build_space` needs of whoever makes the video."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from common.contract import Event, Manifest, Plan, Prepared, Request
from common.modes.base import Mode

Update = tuple[str | None, Event]
"""What a generation yields: the path of the finished video (None until `done`) and an event."""


class Service(Protocol):
    """One mode, ready to work. All but `generate` are quick and run in the Space's own process."""

    mode: Mode

    def manifest(self) -> Manifest:
        """What this Space is and has."""
        ...

    def plan(self, request: Request) -> Plan:
        """The plan on this machine; InputError for a rule broken."""
        ...

    def preflight(self, request: Request, plan: Plan) -> Request:
        """Open and check every media input on the CPU, before a GPU second is spent.

        Returns the request with its handles filled in (mime, size, sha256). Raises MediaError.
        """
        ...

    def generate(self, request: Request, plan: Plan) -> Iterator[Update]:
        """Make the video. On ZeroGPU this is the decorated function: closing it cancels the job."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A service that can show what it will give to the model before it does: `/prepare`."""

    def prepare(self, request: Request, plan: Plan) -> Prepared:
        """The control media of a request that went through `preflight`."""
        ...


@runtime_checkable
class Administered(Protocol):
    """A service whose memory and disk its callers may free, where `admin` allows it: `/admin`."""

    @property
    def admin(self) -> bool:
        """Whether this Space allows it."""
        ...

    def unload(self) -> None:
        """Let the loaded models go; a running job keeps its own until it ends."""
        ...

    def clear_cache(self) -> int:
        """Delete what was made here; how many bytes that freed."""
        ...
