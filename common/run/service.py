"""The seam between a Space's page and its engine: what `build_space` needs of whoever makes the video."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, runtime_checkable

from common.contract import Event, Manifest, Parent, Plan, Prepared
from common.modes.base import Asked, Mode

Update = tuple[str | None, Event]
"""What a generation yields: the path of the finished video (None until `done`) and an event."""


@dataclass(frozen=True)
class Ready(Generic[Asked]):
    """A job whose media were opened, once: all that is needed to make its video, wherever the GPU is.

    `request` has its handles measured, `plan` knows how long its clips are, `inputs` are the pipeline's own
    arguments. It is pickled on its way to a ZeroGPU worker. `segment` says which part of the plan is to be made,
    where each is a call of its own.
    """

    request: Asked
    plan: Plan
    inputs: dict[str, Any] = field(default_factory=lambda: dict[str, Any]())
    parents: tuple[Parent, ...] = ()
    segment: int = 0


class Service(Protocol):
    """One mode, ready to work."""

    @property
    def mode(self) -> Mode[Any]:
        """Whose requests it takes."""
        ...

    def manifest(self) -> Manifest:
        """What this Space is and has."""
        ...

    def plan(self, request: Any) -> Plan:
        """The plan on this machine; InputError for a rule broken."""
        ...

    def generate(self, request: Any, plan: Plan) -> Iterator[Update]:
        """Make the video, in the job's turn: its media are opened first, as the stage `prepare`.

        Yields at least twice a second. Closing it cancels the job. Raises StudioError.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A service that can show what it will give to the model before it does: `/prepare`."""

    def prepare(self, request: Any, plan: Plan) -> Generator[Update, None, Prepared]:
        """Make the control media alone, in the job's turn; yields as `generate` does."""
        ...


@runtime_checkable
class Administered(Protocol):
    """A service whose memory and disk its callers may free and fill, who know the `admin` secret: `/admin`.

    `checkpoint` is the key of one that it carries; InputError for any other value, UnavailableError where what is
    asked cannot be done now.
    """

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

    def clear_loras(self) -> int:
        """Delete the LoRAs that were downloaded but for those that a job needs; how many bytes that freed."""
        ...

    def download(self, checkpoint: str, *, again: bool = False) -> None:
        """Begin to fetch what is missing of a checkpoint, or all `again`; the manifest tells how far that is."""
        ...

    def cancel(self, checkpoint: str) -> None:
        """End a download; what of it was whole stays."""
        ...

    def delete(self, checkpoint: str) -> int:
        """Delete a checkpoint from the disk, never one that a job needs; how many bytes that freed."""
        ...
