"""What the header's generation and preset do to every mode: menus, defaults and greyed rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS, GENERATIONS
from common.contract import Manifest, ModeKey
from common.modes import COMING, MODES
from common.modes.base import Mode
from common.panels import texts, widgets
from common.panels.base import Panel
from router.health import Watcher

GATED = (
    "checkpoint", "preset", "num_inference_steps", "flow_shift", "guidance_scale", "guidance_scale_2",
    "resolution", "duration", "num_frames",
)  # fmt: skip
"""The inputs of a panel that follow the header, in the order of `gate`."""


def generations() -> list[tuple[str, str]]:
    """The generation menu: those that some mode can run, newest first."""
    have = {g for mode in MODES.values() for g in mode.generations()}
    return [(GENERATIONS[g].name, g) for g in reversed(list(GENERATIONS)) if g in have]


def fitting(mode: Mode) -> Callable[[str], str]:
    """The generation that the header must show for a mode: the one it shows if that will do."""
    return lambda now: now if now in mode.generations() else mode.generations()[-1]


def reason(key: ModeKey, generation: str, watcher: Watcher) -> str:
    """Why a mode cannot be used now; empty when it can."""
    if key in COMING:
        return COMING[key][1]
    mode = MODES[key]
    if generation not in mode.generations():
        others = " and ".join(GENERATIONS[g].name for g in mode.generations())
        return f"{mode.title} has no {GENERATIONS[generation].name} checkpoint; choose {others}"
    status = watcher.status(key)
    if status is None:
        return f"{mode.title} has no place in this Studio; add it to WAN_FEDERATION"
    return "" if status.state == "ready" else f"{mode.title} {status.text}"


def choices(panel: Panel, manifest: Manifest, generation: str) -> list[tuple[str, str]]:
    """The model menu of a mode under a generation; all models when it has none of that generation."""
    rows = [CHECKPOINTS[c.key] for c in manifest.checkpoints if c.key in CHECKPOINTS]
    fitting = [row for row in rows if row.generation == generation]
    return widgets.checkpoint_choices(fitting or rows)


async def gate(panel: Panel, generation: str, preset: str, now: Mapping[str, Any]) -> list[Any]:
    """Updates for GATED and for the banner. A model that still fits stays, and so does its resolution."""
    manifest = await panel.runner.manifest()
    menu = choices(panel, manifest, generation)
    keys = [key for _, key in menu]
    # The mode's own order puts its default first; the menu is sorted for reading.
    first = next(c.key for c in manifest.checkpoints if c.key in keys)
    key = now["checkpoint"] if now["checkpoint"] in keys else first
    follow = await panel.checkpoint_changed(key, preset, now["resolution"])
    banner = texts.banner(await panel.runner.manifest(key))
    return [gr.update(choices=menu, value=key), preset, *follow, banner]
