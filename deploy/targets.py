"""Each Space to be, fully resolved: its id and every setting that the Hub should hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.catalog import CHECKPOINTS, Weights
from common.contract import ModeKey
from common.errors import InputError
from common.modes.all import MODES
from deploy.federation import ROOT, ROUTER, ZEROGPU, Federation, SpaceEntry, Visibility, Volume, skipped

MODELS_ROOT = "/models"
FEDERATION_VARIABLE = "WAN_FEDERATION"
WEIGHTS_VARIABLE = "WAN_WEIGHTS"
"""Every Space of a push has it from the start."""


@dataclass(frozen=True)
class Target:
    """One Space as it should be. `mode` is None for the router; `secrets` maps names to variables here."""

    name: str
    repo_id: str
    mode: ModeKey | None
    hardware: str
    visibility: Visibility
    weights: Weights = "nano"
    checkpoints: tuple[str, ...] = ()
    sleep_seconds: int | None = None
    sign_in: bool = False
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()

    @property
    def is_router(self) -> bool:
        """The Space that calls all the others."""
        return self.mode is None


def resolve(federation: Federation, namespace: str, root: Path = ROOT) -> list[Target]:
    """Every Space that can be pushed, modes in the order of the file, router last."""
    missing = skipped(federation, root)
    modes = [
        _mode_target(federation, entry, namespace)
        for entry in federation.spaces
        if (entry.name or entry.mode) not in missing
    ]
    router = federation.router
    addresses = federation_table(modes)
    # What the router's panels show until a mode has answered.
    weights = "wan" if any(t.weights == "wan" for t in modes) else "nano"
    return [
        *modes,
        Target(
            name=ROUTER,
            repo_id=f"{namespace}/{router.name or federation.prefix}",
            mode=None,
            hardware=router.hardware,
            visibility=router.visibility,
            sleep_seconds=router.sleep_seconds,
            sign_in=router.sign_in,
            variables={FEDERATION_VARIABLE: addresses, WEIGHTS_VARIABLE: weights, **router.variables},
            secrets=router.secrets,
        ),
    ]


def federation_table(modes: Sequence[Target], addresses: Mapping[str, str] | None = None) -> str:
    """The router's one variable: mode to where it runs, ids by default or the given address of each name."""
    table: dict[str, list[str]] = {}
    for target in modes:
        if target.mode is not None:
            where = target.repo_id if addresses is None else addresses[target.name]
            table.setdefault(target.mode, []).append(where)
    return json.dumps(table, separators=(",", ":"))


def select(targets: Sequence[Target], only: str | None) -> list[Target]:
    """Targets by Space name, or all of a mode's; InputError when nothing has that name."""
    if only is None:
        return list(targets)
    found = [t for t in targets if t.name == only] or [t for t in targets if t.mode == only]
    if not found:
        names = ", ".join(t.name for t in targets)
        raise InputError("--only", "must name a Space of the federation", got=repr(only), hint=f"try {names}")
    return found


def _mode_target(federation: Federation, entry: SpaceEntry, namespace: str) -> Target:
    weights: Weights = entry.weights or federation.weights or "wan"
    hardware = entry.hardware or federation.hardware or ZEROGPU
    # One resident checkpoint a Space: whatever is on cuda at import moves to the GPU with every worker.
    chosen = tuple(entry.checkpoints) or ((MODES[entry.mode].checkpoints[0],) if weights == "wan" else ())
    variables = {WEIGHTS_VARIABLE: weights}
    if chosen:
        variables["WAN_CHECKPOINTS"] = ",".join(chosen)
    if hardware == ZEROGPU and chosen:
        variables["WAN_GPU_SIZE"] = entry.gpu_size or CHECKPOINTS[chosen[0]].gpu_size
    volumes = tuple(_volume(v, chosen, namespace) for v in entry.volumes)
    if volumes:
        variables["WAN_MODELS"] = MODELS_ROOT
    return Target(
        name=entry.name or entry.mode,
        repo_id=f"{namespace}/{federation.prefix}-{entry.name or entry.mode}",
        mode=entry.mode,
        hardware=hardware,
        visibility=entry.visibility or federation.visibility or "public",
        weights=weights,
        checkpoints=chosen,
        sleep_seconds=entry.sleep_seconds if entry.sleep_seconds is not None else federation.sleep_seconds,
        variables={**variables, **entry.variables},
        secrets=entry.secrets,
        volumes=volumes,
    )


def _volume(volume: Volume | str, checkpoints: tuple[str, ...], namespace: str) -> Volume:
    """A bare source is mounted where the loader looks first for the Space's checkpoint."""
    full = Volume(source=volume) if isinstance(volume, str) else volume.model_copy()
    full.source = full.source.replace("{namespace}", namespace)
    if not full.mount_path:
        full.mount_path = f"{MODELS_ROOT}/{checkpoints[0]}" if checkpoints else MODELS_ROOT
    return full
