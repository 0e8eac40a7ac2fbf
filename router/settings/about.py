"""What the Studio is made of: versions, machines, and how files have travelled."""

from __future__ import annotations

from html import escape

from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from common.settings import bundled, git_sha
from router.health import Watcher
from router.settings.fits import machine
from router.settings.tables import section
from router.transfer import Traffic


def about(watcher: Watcher, traffic: Traffic) -> str:
    """Versions, backend and GPU, and the ways of Send to."""
    shown = [s.manifest for key in MODES for s in watcher.statuses(key) if s.manifest]
    versions = " · ".join(f"{name} {number}" for name, number in (shown[0].versions if shown else {}).items())
    machines = dict.fromkeys(f"{m.backend.device}: {machine(m)}" for m in shown)
    ways = traffic.counts
    lines = [
        f"Wan Studio {git_sha()[:12]} · contract {CONTRACT_VERSION}" + (f" · {versions}" if versions else ""),
        *machines,
        *skew(watcher),
        f"Send to: {ways['path']} by path, {ways['url']} by URL, {ways['relay']} relayed "
        f"({traffic.relayed / 1e6:.1f} MB through this router)",
        "Wan Studio and Wan-Nano: Apache-2.0; the licence of each model stands with it above.",
    ]
    return section("About", "", "".join(f"<p>{escape(line)}</p>" for line in lines))


def skew(watcher: Watcher, own: str | None = None) -> list[str]:
    """Which places run another commit than the rest of their mode, or than this Studio; nothing where all is one.

    A bundle's commit is the last one that touched its own files: two bundles of one mode can be compared, and a mode
    with a Studio only where neither is one.
    """
    lines: list[str] = []
    own = ("" if bundled() else git_sha()) if own is None else own
    for key, mode in MODES.items():
        known = {s.place: s.manifest.git_sha for s in watcher.statuses(key) if s.manifest}
        told = {place: sha for place, sha in known.items() if sha not in ("", "unknown")}
        other = {p for p, sha in told.items() if not p.is_space and own not in ("", "unknown", sha)}
        if len(set(told.values())) > 1 or other:
            places = ", ".join(f"{place.where} runs {sha[:12]}" for place, sha in told.items())
            rest = f", this Studio {own[:12]}" if other else ""
            lines.append(f"{mode.title} is not one version everywhere: {places}{rest}. Jobs go to any of them")
    return lines
