"""What a request would do on the machine that would do it, and how `wan-studio plan` says it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from common.catalog import CHECKPOINTS, Weights
from common.contract import Backend, Plan
from common.errors import InputError
from common.modes.base import Mode
from common.settings import SpaceSettings

if TYPE_CHECKING:
    from common.run.remote import RemoteRunner


def there(runner: RemoteRunner, values: dict[str, Any]) -> tuple[Plan, Backend]:
    """The plan of a Space, and what machine it has; UnavailableError where it does not answer."""

    async def ask() -> tuple[Plan, Backend]:
        manifest = await runner.manifest()
        return await runner.asked_plan(values), manifest.backend

    return asyncio.run(ask())


def here(mode: Mode, values: dict[str, Any], weights: Weights) -> tuple[Plan, Backend]:
    """The plan of this machine. Wan-Nano fits any, so it is planned without torch, which alone knows what is here."""
    request = mode.parse(values)
    if weights == "nano":
        backend = Backend()
        return mode.plan(request, backend, weights=weights), backend
    settings = replace(SpaceSettings.from_env(), weights=weights)
    mode.plan(request, weights=weights)  # what breaks a rule is told before torch is imported
    rows = mode.rows(settings.checkpoints)
    if not rows:
        raise InputError("WAN_CHECKPOINTS", f"has no checkpoint for {mode.key}")
    from common.runtime.device.backend import detect

    backend = detect(settings, rows[0].key)
    return mode.plan(request, backend, weights=weights, allowed=[row.key for row in rows]), backend


def text(plan: Plan, backend: Backend) -> str:
    """A plan for a terminal: a line for each thing that is decided."""
    facts = {**plan.model_dump(exclude={"placement"}), **_placed(plan, backend)}
    return "\n".join(f"{key:20} {value}" for key, value in facts.items() if value not in (None, [], {}, ""))


def _placed(plan: Plan, backend: Backend) -> dict[str, str]:
    have = f", {backend.memory_bytes / 1e9:.1f} GB" if backend.memory_bytes else ""
    machine = {"machine": f"{backend.name}{have}"}
    placed = plan.placement
    if placed is None:
        return {**machine, "placement": "does not fit"}
    parts = [part for part in placed.precision if part != "image_encoder" or _sees_clip(plan)]
    said = [f"{part} {placed.precision[part]}" for part in parts]
    said += [f"{placed.attention} attention"]
    said += ["compiled blocks"] if placed.compile != "none" else []
    said += ["shortcuts"] if placed.shortcuts else []
    said += ["tiled VAE"] if placed.tiling else []
    said += [f"{placed.offload} offload"] if placed.offload != "none" else []
    return {**machine, "placement": ", ".join(said), "peak": f"{placed.peak_bytes / 1e9:.1f} GB"}


def _sees_clip(plan: Plan) -> bool:
    return CHECKPOINTS[plan.checkpoint].architecture.clip
