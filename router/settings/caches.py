"""What takes room on disk and in memory, and how to have it back."""

from __future__ import annotations

from html import escape

from common.catalog import CHECKPOINTS, LORAS
from common.contract import Manifest
from common.modes.all import MODES
from router.health import Watcher
from router.settings.acting import Acting
from router.settings.models import carried
from router.settings.tables import button, section, size, table, two


def caches(watcher: Watcher, acting: Acting) -> str:
    """Videos, LoRAs, base models and memory; with buttons where one may."""
    manifests = _one_a_disk(watcher)
    if not manifests:
        return section("Caches", "", "<p>No mode has answered yet.</p>")
    videos = sum(manifest.cache_bytes for manifest in manifests)
    files = _lora_bytes(watcher)
    models = sum(i.disk.bytes for _, _, i in carried(watcher) if i.disk and i.disk.where == "cache")
    shown = [s.manifest for mode in MODES for s in watcher.statuses(mode) if s.manifest]
    loaded = dict.fromkeys(key for manifest in shown for key in manifest.loaded)
    names = ", ".join(CHECKPOINTS[key].name if key in CHECKPOINTS else key for key in loaded)
    kept, anew = "Your Gallery keeps its own; what a job needs stays.", "They are fetched again when they are needed."
    rows = [
        [two("Videos made", kept), size(videos), _clear("clear_cache", "Clear the videos made", kept, videos)],
        [two("LoRA files", anew), size(files), _clear("clear_loras", "Clear the LoRA files", anew, files)],
        [two("Base models", "One by one under Models on disk."), size(models), ""],
        [two("Models in memory", "A job that runs keeps its own."), escape(names or "none"),
         button("unload", "Unload", "Unload the models in memory") if loaded else ""],
    ]  # fmt: skip
    heads = ["What", "Size", "Change"]
    if not acting.places():
        heads, rows = heads[:2], [row[:2] for row in rows]
    return section("Caches", "", table("Caches", heads, rows))


def _clear(action: str, label: str, sure: str, taken: int) -> str:
    return button(action, "Clear", label, sure=f"{label}, {size(taken)}? {sure}") if taken else ""


def _one_a_disk(watcher: Watcher) -> list[Manifest]:
    """A manifest a disk: what is mounted here has one."""
    found: dict[str, Manifest] = {}
    for mode in MODES:
        for status in watcher.statuses(mode):
            if status.manifest:
                found["" if status.place.mount else status.place.where] = status.manifest
    return [*found.values()]


def _lora_bytes(watcher: Watcher) -> int:
    """Of files in the Hub's cache, which two LoRAs may share: the hybrid is another use of one that is there."""
    found: dict[tuple[str, str], int] = {}
    for mode in MODES:
        for status in watcher.statuses(mode):
            disk = "" if status.place.mount else status.place.where
            for lora in status.manifest.loras if status.manifest else ():
                if lora.disk.where == "cache":
                    found[disk, _same(lora.key)] = lora.disk.bytes
    return sum(found.values())


def _same(key: str) -> str:
    return str(sorted({file.weight_name for file in LORAS[key].files})) if key in LORAS else key
