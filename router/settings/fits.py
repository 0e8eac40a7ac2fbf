"""What fits each machine: the placement that a plan would have, for every model and preset."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from html import escape

from common.catalog import CHECKPOINTS, Weights
from common.contract import Backend, Manifest, ModeKey, Plan
from common.errors import StudioError
from common.modes.all import MODES
from common.modes.base import PRESETS
from common.panels import texts
from common.panels.base import Panel
from router.health import Watcher
from router.settings.tables import NONE, badge, section, size, table, two

HEADS = ("Model", "Preset", "Video", "Fits", "At most", "Own memory", "To make it fit")


def fits(watcher: Watcher, panels: Mapping[ModeKey, Panel]) -> str:
    """A table a mode, folded."""
    machines: dict[str, None] = {}
    parts: list[str] = []
    for key, mode in MODES.items():
        for manifest in watcher.offers(key):
            keys = tuple(info.key for info in manifest.checkpoints if info.key in CHECKPOINTS)
            machines[machine(manifest)] = None
            rows, fitting = _rows(panels[key], manifest.backend.model_dump_json(), manifest.weights, keys)
            unknown = manifest.weights == "wan" and not manifest.backend.memory_bytes
            words = "what its models take" if unknown else f"{fitting} of {len(keys)} models fit"
            place = "" if unknown else f" {texts.place(manifest.backend)}"
            summary = escape(f"{mode.title}: {words}{place}")
            parts.append(f"<details><summary>{summary}</summary>{rows}</details>")
    if not parts:
        return section("What fits this machine", "", "<p>No mode has answered yet.</p>")
    return section("What fits this machine", " · ".join(machines), "".join(dict.fromkeys(parts)))


def machine(manifest: Manifest) -> str:
    """A mode's machine with its memory, and how many there are of it, in words."""
    backend, jobs = manifest.backend, manifest.jobs
    parts = [f"ZeroGPU {backend.gpu_size}" if backend.gpu_size else backend.name]
    if backend.cards > 1:
        parts.append(f"{backend.cards} {'processes' if backend.device == 'cpu' else 'cards'} a job")
    if backend.memory_bytes:
        parts.append(f"{size(backend.memory_bytes)} for models")
    else:
        parts.append("whose memory is not known")
    if backend.host_bytes:
        parts.append(f"{size(backend.host_bytes)} of the machine's own")
    if jobs and jobs.at_once > 1:
        parts.append(f"{jobs.at_once} of them")
    return ", ".join(parts)


@lru_cache(maxsize=64)
def _rows(panel: Panel, backend: str, weights: Weights, keys: tuple[str, ...]) -> tuple[str, int]:
    """The table of a mode, and how many of its models fit. Planning them all takes a moment: once a machine."""
    rows: list[list[str]] = []
    fitting, known = set[str](), Backend.model_validate_json(backend).memory_bytes > 0 or weights == "nano"
    for key in keys:
        row = CHECKPOINTS[key]
        for preset in PRESETS:
            if preset not in row.presets:
                continue
            plan = _plan(panel, backend, weights, keys, {"checkpoint": key, "preset": preset})
            cells = [two(row.name, key), preset.capitalize()]
            if isinstance(plan, str):
                rows.append([*cells, NONE, badge("no", "down"), NONE, NONE, escape(plan)])
                continue
            video = f"{plan.width}×{plan.height}, {max(s.frames for s in plan.segments)} frames"
            rows.append([*cells, video, *_placed(plan, known)])
            if plan.placement is not None:
                fitting.add(key)
    return table(f"What fits of {panel.mode.title}", HEADS, rows), len(fitting)


def _plan(
    panel: Panel, backend: str, weights: Weights, keys: tuple[str, ...], values: Mapping[str, str]
) -> Plan | str:
    """The plan of what else is as on a fresh page; what is wrong with it, in words."""
    machine = Backend.model_validate_json(backend)
    try:
        request = panel.mode.parse({**values, **panel.missing(values)})
        return panel.mode.plan(request, machine, weights=weights, allowed=keys)
    except StudioError as error:
        return error.text


def _placed(plan: Plan, known: bool) -> list[str]:
    """Whether and how; of a machine whose memory is not known, what it takes."""
    placed = plan.placement
    if placed is None:
        why = next((text for text in plan.notices if text.startswith("Not enough memory")), "")
        return [badge("no", "down"), NONE, NONE, escape(why)]
    if plan.weights == "nano":
        return [badge("yes", "ready"), f"under {size(placed.peak_bytes)}", NONE, NONE]
    host = size(placed.host_bytes) if placed.host_bytes else NONE
    fits = badge("yes", "ready") if known else badge("not known")
    how = [*placed.why, *([placed.shared.rstrip(".")] if placed.shared else [])]
    return [fits, size(placed.peak_bytes), host, escape("; ".join(how) or NONE)]
