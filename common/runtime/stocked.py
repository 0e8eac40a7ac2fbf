"""What an engine has in memory and on disk, and what its owner may do about it: see `Administered`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from common.catalog import LORAS, Checkpoint
from common.contract import Backend, Jobs, LoraInfo
from common.errors import InputError, UnavailableError, quoted
from common.modes.base import Mode
from common.runtime.crew import leader
from common.runtime.device.seat import Seat
from common.runtime.device.turns import Turns
from common.runtime.lending.lender import Held, Lender
from common.runtime.model import fetching, lora, stock
from common.settings import SpaceSettings


class Stocked:
    """A part of `Engine`."""

    mode: Mode[Any]
    settings: SpaceSettings
    backend: Backend
    seat: Seat
    pool: Lender | None
    line: Turns
    allowed: tuple[str, ...]
    _revisions: dict[str, str]

    @property
    def admin(self) -> str:
        """The secret of who may clear caches and unload models; empty where nobody may."""
        return self.settings.admin

    def jobs(self) -> Jobs:
        """What has a place in this engine's line, of all modes that share its device."""
        line, places = len(self.line), self.line.places
        return Jobs(running=min(line, places), waiting=max(line - places, 0), at_once=places)

    def is_loaded(self, checkpoint: str) -> bool:
        """Whether it is in memory."""
        kind = self.settings.weights
        return any((held.checkpoint, held.weights) == (checkpoint, kind) for held in self.held())

    def held(self) -> list[Held]:
        """What is in memory: this process', or its workers'."""
        return self.pool.held() if self.pool else self.own()

    def own(self) -> list[Held]:
        """What is in this process' memory."""
        held = self.seat.residency
        if held.key is None:
            return []
        key, kind = held.key[:2]
        return [Held(key, kind, frozenset(lora.attached(held.pipes)), self._revisions.get(key, ""))]

    @property
    def works_here(self) -> bool:
        """Whether this process has the device itself: no worker of ZeroGPU, and none of a pool."""
        return self.pool is None and self.backend.gpu_size is None

    def loras(self, rows: Iterable[Checkpoint]) -> list[LoraInfo]:
        """Of these checkpoints, each once; loaded is what the model in memory has attached."""
        kind = self.settings.weights
        attached = {key for held in self.held() if held.weights == kind for key in held.loras}
        found: dict[str, LoraInfo] = {}
        for row in rows:
            for key in row.attachable(kind):
                if key not in found:
                    disk = stock.of_lora(LORAS[key], row, kind)
                    found[key] = LoraInfo(key=key, disk=disk, loaded=key in attached)
        return [*found.values()]

    def unload(self) -> None:
        """Lets the loaded pipeline and the shared components go; UnavailableError on ZeroGPU."""
        if self.backend.gpu_size is not None:
            raise UnavailableError(
                "the model of a ZeroGPU Space stays packed on its disk; restart the Space instead"
            )
        if self.pool is not None:
            self.pool.unload()
        else:
            self.seat.residency.unload()
            leader.unload()

    def download(self, checkpoint: str, *, again: bool = False) -> None:
        """Begins to fetch a checkpoint; the manifest tells how far that is."""
        row = self._real(checkpoint)
        if self.backend.gpu_size is not None:
            raise UnavailableError("a ZeroGPU Space fetches its one model when it starts; restart the Space instead")
        if stock.of(row, "wan").where == "volume":
            raise InputError("checkpoint", f"{row.name} lies on a volume (WAN_MODELS)", hint="it is not downloaded")
        fetching.begin(row, again=again)

    def cancel(self, checkpoint: str) -> None:
        """Ends a download; what of it was whole stays."""
        fetching.cancel(self._real(checkpoint).key)

    def delete(self, checkpoint: str) -> int:
        """Deletes a checkpoint from the disk, and lets it go where it is loaded; bytes freed."""
        row = self._row(checkpoint)
        freed = stock.delete(row, self.settings.weights)
        if self.is_loaded(row.key):  # no job uses it, or it would still be there
            self.unload()
        return freed

    def clear_loras(self) -> int:
        """Deletes all LoRAs from the disk but those that a job needs; bytes freed."""
        return stock.clear_loras() if self.settings.weights == "wan" else 0

    def _row(self, checkpoint: object) -> Checkpoint:
        if self.pool is not None and not self.pool.own_disk:
            raise UnavailableError("the models lie on the disks of other machines; see to them there")
        rows = {row.key: row for row in self.mode.rows(self.allowed)}
        if not isinstance(checkpoint, str) or checkpoint not in rows:  # a list cannot be looked up
            raise InputError("checkpoint", "must be one of " + ", ".join(rows), got=quoted(checkpoint))
        return rows[checkpoint]

    def _real(self, checkpoint: object) -> Checkpoint:
        row = self._row(checkpoint)
        if self.settings.weights == "nano":
            rule = f"{row.name} is Wan-Nano here, which is part of the code"
            raise InputError("checkpoint", rule, hint="start with --weights wan for the real one")
        return row
