"""What an engine asks of whoever lends it a device: a line, the machine behind it, and the work itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from common.contract import Backend, Lineage, Plan
from common.modes.base import Mode
from common.run.service import Ready
from common.runtime.device.turns import Turns
from common.runtime.job import Job, Made
from common.runtime.zerogpu import Carried
from common.settings import SpaceSettings


@dataclass(frozen=True)
class Held:
    """A checkpoint in some memory: its key, its weights (nano or wan), its LoRAs, the revision it was loaded from."""

    checkpoint: str
    weights: str
    loras: frozenset[str] = frozenset()
    revision: str = ""


class Borrower(Protocol):
    """An engine, as a lender knows it."""

    @property
    def mode(self) -> Mode[Any]:
        """Whose jobs it makes."""
        ...

    def keep(
        self,
        ready: Ready[Any],
        job: Job,
        write: Callable[[Path, Lineage], object],
        made_by: Mapping[str, str] | None = None,
    ) -> Made:
        """The video of a job, which `write` writes; `made_by` are the versions of what has made it elsewhere."""
        ...

    def reads(self, ready: Ready[Any]) -> Iterable[Path]:
        """Files of the cache that the work of a job opens, beside its inputs."""
        ...

    def writes(self, ready: Ready[Any]) -> Iterable[Path]:
        """Files of the cache that this work has left behind, beside the video."""
        ...


class Lender(Protocol):
    """Whoever has the device. `line` is whose turn it is, as many at once as it can serve."""

    line: Turns
    own_disk: bool
    """Whether the models lie on this machine's disk, where Settings may see to them."""

    def serves(self, mode: Mode[Any], checkpoints: Sequence[str]) -> Sequence[str]:
        """Those that it makes this mode's videos with; UnavailableError with the way out where there is none."""
        ...

    def check(self, plan: Plan) -> None:
        """InputError for what it cannot do of a mode that it serves."""
        ...

    def backend(self, settings: SpaceSettings, checkpoints: Sequence[str]) -> Backend:
        """The machine that jobs are planned for; UnavailableError where there is none."""
        ...

    def run(self, borrower: Borrower, ready: Ready[Any]) -> Iterator[Carried]:
        """The GPU's part of a job, whose turn it is, as `Engine.run` tells it. Closing it stops the job."""
        ...

    def warm(self, borrower: Borrower) -> None:
        """Import what its jobs need, in the background: the first one need not wait for it."""
        ...

    def held(self) -> list[Held]:
        """What is in memory there, as far as it is known."""
        ...

    def unload(self) -> None:
        """Let it go; a running job keeps its own until it ends."""
        ...
