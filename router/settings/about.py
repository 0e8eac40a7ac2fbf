"""What the Studio is made of: versions, machines, and how files have travelled."""

from __future__ import annotations

from html import escape

from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from common.settings import git_sha
from router.health import Watcher
from router.settings.fits import machine
from router.settings.tables import section
from router.transfer import Traffic


def about(watcher: Watcher, traffic: Traffic) -> str:
    """Versions, backend and GPU, and the ways of Send to."""
    shown = [s.manifest for key in MODES for s in watcher.statuses(key) if s.manifest]
    versions = " · ".join(f"{name} {number}" for name, number in (shown[0].versions if shown else {}).items())
    machines = dict.fromkeys(f"{m.backend.device}: {machine(m.backend)}" for m in shown)
    ways = traffic.counts
    lines = [
        f"Wan Studio {git_sha()[:12]} · contract {CONTRACT_VERSION}" + (f" · {versions}" if versions else ""),
        *machines,
        f"Send to: {ways['path']} by path, {ways['url']} by URL, {ways['relay']} relayed "
        f"({traffic.relayed / 1e6:.1f} MB through this router)",
        "Wan Studio and Wan-Nano: Apache-2.0; the licence of each model stands with it above.",
    ]
    return section("About", "", "".join(f"<p>{escape(line)}</p>" for line in lines))
