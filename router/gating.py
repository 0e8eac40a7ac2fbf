"""What the header's generation and preset do to every mode: menus, defaults and greyed rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS, GENERATIONS
from common.contract import Manifest, ModeKey
from common.modes.all import MODES
from common.modes.base import Mode
from common.panels import texts, widgets
from common.panels.base import Panel
from common.panels.own import NONE, ModeDefaults
from router.health import Watcher


def gated(panel: Panel) -> list[Any]:
    """What of a panel follows the header."""
    names = ("checkpoint", "preset", *panel.presets, "resolution", "duration", "num_frames")
    return [*(panel.inputs.components[name] for name in names), panel.banner]


def generations() -> list[tuple[str, str]]:
    """The generation menu: those that some mode can run, newest first."""
    have = {g for mode in MODES.values() for g in mode.generations()}
    return [(GENERATIONS[g].name, g) for g in reversed(list(GENERATIONS)) if g in have]


def carried(mode: Mode, watcher: Watcher) -> list[str]:
    """The generations that a mode can run here: of what its places carry, of the catalog while none has answered."""
    have = {info.generation for manifest in watcher.offers(mode.key) for info in manifest.checkpoints}
    return [g for g in mode.generations() if not have or g in have]


def generation_of(mode: Mode, wish: str, watcher: Watcher) -> str:
    """The generation of a mode's menu: the one wished for, else its newest; unasked its default model's."""
    have = carried(mode, watcher)
    if wish in GENERATIONS:
        return wish if wish in have else next((g for g in reversed(list(GENERATIONS)) if g in have), "")
    return next((row.generation for row in mode.rows() if row.generation in have), "")


def header(page: str, wish: str, watcher: Watcher) -> Any:
    """The generation menu of the header while a page is open: what its mode runs here, nothing greyed."""
    mode = next((mode for key, mode in MODES.items() if key == page), None)
    if mode is None:
        return gr.skip()
    have = carried(mode, watcher)
    menu = [(name, g) for name, g in generations() if g in have]
    return gr.update(choices=menu, value=generation_of(mode, wish, watcher))


def reason(key: ModeKey, wish: str, watcher: Watcher) -> str:
    """What to know about a mode before going there; empty when there is nothing."""
    mode = MODES[key]
    status = watcher.status(key)
    if status is None:
        return f"{mode.title} has no place in this Studio; add it to WAN_FEDERATION"
    if status.state != "ready":
        return f"{mode.title} {status.text}"
    # A browser keeps a wish, and may bring one back that nobody knows any more.
    if wish in GENERATIONS and (runs := generation_of(mode, wish, watcher)) != wish:
        return f"no {GENERATIONS[wish].name} here; runs {GENERATIONS[runs].name}"
    return ""


def choices(panel: Panel, manifest: Manifest, generation: str) -> list[tuple[str, str]]:
    """The model menu of a mode under a generation; all models when it has none of that generation."""
    rows = [CHECKPOINTS[c.key] for c in manifest.checkpoints if c.key in CHECKPOINTS]
    fitting = [row for row in rows if row.generation == generation]
    return widgets.checkpoint_choices(fitting or rows)


HELD = ("checkpoint", "preset", "resolution", "duration", "num_frames")
"""The inputs of a panel that `gate` looks at."""


async def gate(
    panel: Panel, generation: str, preset: str, now: Mapping[str, Any], own: ModeDefaults = NONE
) -> dict[Any, Any]:
    """Updates by component for what is gated and for the banner: nothing that stands as it should is touched.

    `now` has what the page shows of HELD. A model that still fits stays, and then so does all that was chosen for it.
    """
    manifest = await panel.runner.manifest()
    menu = choices(panel, manifest, generation)
    keys = [key for _, key in menu]
    # The mode's own order puts its default first; the menu is sorted for reading.
    first = next(c.key for c in manifest.checkpoints if c.key in keys)
    key = now["checkpoint"] if now["checkpoint"] in keys else first
    if key != now["checkpoint"] or not _offered(key, now["resolution"], await panel.runner.manifest(key)):
        follow = await panel.checkpoint_changed(
            key, preset, now["resolution"], now["duration"], now["num_frames"], own=own
        )
    elif preset != now["preset"]:
        follow = await panel.preset_changed(key, preset, own)
    else:
        follow = {}
    updates = {"checkpoint": gr.update(choices=menu, value=key), "preset": preset, **follow}
    banner = texts.banner(await panel.runner.manifest(key))
    return {**panel.inputs.shown(updates), panel.banner: banner}


def _offered(checkpoint: str, resolution: str, manifest: Manifest) -> bool:
    """Whether a model has a resolution under the weights that its place turns out to have."""
    return resolution in {r.size for r in CHECKPOINTS[checkpoint].sizes(manifest.weights)}
