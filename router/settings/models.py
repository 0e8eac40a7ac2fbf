"""Which model each mode runs and whether it is loaded; what lies on disk of each; the LoRAs of each generation."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from common.catalog import CHECKPOINTS, GENERATIONS, LORAS
from common.contract import CheckpointInfo, LoraInfo, OnDisk
from common.modes.all import MODES
from router.asking import Status
from router.health import Watcher
from router.settings.acting import Acting
from router.settings.tables import NONE, badge, button, section, size, table, two
from router.shell import short


def active(watcher: Watcher) -> str:
    """A row a place: the mode's model, whether it is in memory, how the place is."""
    rows: list[list[str]] = []
    for key, mode in MODES.items():
        places = watcher.statuses(key)
        if not places:
            rows.append([escape(mode.title), NONE, NONE, "has no place in this Studio", NONE])
        rows += [[escape(mode.title), *_place(status)] for status in places]
    heads = ("Mode", "Model", "In memory", "State", "Where")
    return section("Active models per mode", "", table("Active models per mode", heads, rows))


def _place(status: Status) -> list[str]:
    shown, place = status.manifest, status.place
    model, loaded = NONE, NONE
    if shown:
        key = next(iter(shown.loaded), shown.default_checkpoint)
        row = CHECKPOINTS.get(key)
        demo = "Wan-Nano stands in for it" if shown.weights == "nano" else row.repo if row else ""
        model = two(row.name if row else key, demo)
        loaded = badge("loaded ✓", "ready") if shown.loaded else badge("not loaded")
    state = f"{badge(status.state, status.state)} {escape(status.text)}"
    where = f"<code>{escape(place.where)}</code>{_api(status)}"
    return [model, loaded, state, where]


def _api(status: Status) -> str:
    """A link to the page of a mode's own API, once its address is known."""
    if not status.url:
        return ""
    place = status.place
    url = f"{place.mode}/" if place.mount else status.url  # mounts lie under the Studio's own address
    address = escape(f"{url.rstrip('/')}/?view=api", quote=True)
    return f' <a href="{address}" target="_blank" rel="noopener">API of {short(place.mode)}</a>'


# ---------------------------------------------------------------------- on disk


def carried(watcher: Watcher) -> Iterator[tuple[list[str], Status, CheckpointInfo]]:
    """Each checkpoint of each disk once, with the modes that run it there: what is mounted here has one disk."""
    found: dict[tuple[str, str], tuple[list[str], Status, CheckpointInfo]] = {}
    for key in MODES:
        for status in watcher.statuses(key):
            for info in status.manifest.checkpoints if status.manifest else ():
                disk = "" if status.place.mount else status.place.where
                modes, _, _ = found.setdefault((disk, info.key), ([], status, info))
                modes.append(short(key))
    yield from found.values()


def on_disk(watcher: Watcher, acting: Acting) -> str:
    """Every model with its size, where it lies and under which licence; what may be done about it."""
    rows: list[list[str]] = []
    everything = list(carried(watcher))
    acts = any(acting.may(status) and _movable(info.disk) for _, status, info in everything)
    for modes, status, info in everything:
        row = CHECKPOINTS.get(info.key)
        licence = row.licence + (" (community)" if row.community else "") if row else NONE
        where = "" if status.place.mount else status.place.where
        cells = [two(info.name, where or (row.repo if row else "")), escape(", ".join(modes)), escape(licence)]
        cells.append(_disk(info))
        if acts:
            cells.append(_tools(status, info) if acting.may(status) else "")
        rows.append(cells)
    heads = ["Model", "Modes", "Licence", "On disk"] + (["Change"] if acts else [])
    about = "A model is downloaded when it is first used; here it can be fetched before." if acts else ""
    return section("Models on disk", about, table("Models on disk", heads, rows) if rows else _NOBODY)


_NOBODY = "<p>No mode has answered yet.</p>"


def _movable(disk: OnDisk | None) -> bool:
    return disk is not None and disk.where == "cache"


def _disk(info: CheckpointInfo) -> str:
    disk = info.disk
    if disk is None:
        return "its Space does not say"
    have, wanted = size(disk.bytes), size(disk.wanted)
    if disk.where == "code":
        return f"{have}, part of the code" if disk.whole else "none"
    if disk.where == "volume":
        return f"{have}, on a volume" if disk.whole else "its volume is not whole"
    coming = disk.coming
    if coming and coming.state == "running":
        done, total = coming.done, max(coming.total, 1)
        name = escape(f"Download of {info.name}", quote=True)
        words = coming.text or f"{size(done)} of {size(total)}"
        return f'<progress aria-label="{name}" max="{total}" value="{min(done, total)}"></progress> {escape(words)}'
    if coming and coming.state == "failed":
        return f'<span class="wrong" role="alert">{escape(coming.text)}</span>'
    if disk.whole:
        return f"{have} {badge('on disk ✓', 'ready')}"
    if coming and coming.state == "cancelled":
        return f"stopped; {have} of about {wanted} are here"
    return f"{have} of about {wanted}" if disk.bytes else f"about {wanted} to download"


def _tools(status: Status, info: CheckpointInfo) -> str:
    disk, mode, key, name = info.disk, status.place.mode, info.key, info.name
    if disk is None or not _movable(disk):
        return ""
    coming = disk.coming.state if disk.coming else ""
    if coming == "running":
        return button("cancel", "Cancel", f"Cancel the download of {name}", mode, key)
    tools: list[str] = []
    if not disk.whole:
        text = "Try again" if coming == "failed" else "Go on" if disk.bytes else "Download"
        tools.append(button("download", text, f"{text}: download of {name}", mode, key))
    else:
        sure = f"Download all {size(disk.wanted)} of {name} again? What is here is replaced file by file."
        tools.append(button("download_again", "Download again", f"Download {name} again", mode, key, sure))
    if disk.bytes:
        sure = f"Delete {name} ({size(disk.bytes)}) from this machine? It can be downloaded again."
        tools.append(button("delete", "Delete", f"Delete {name}", mode, key, sure))
    return f'<span class="tools">{"".join(tools)}</span>'


# ---------------------------------------------------------------------- LoRAs


def loras(watcher: Watcher) -> str:
    """What makes Fast fast, by mode and generation."""
    rows: list[list[str]] = []
    for key, mode in MODES.items():
        status = watcher.status(key)
        if status is None or status.manifest is None:
            continue
        known = {lora.key: lora for lora in status.manifest.loras}
        carry = [CHECKPOINTS[i.key] for i in status.manifest.checkpoints if i.key in CHECKPOINTS]
        for generation in dict.fromkeys(row.generation for row in carry):
            mine = [row for row in carry if row.generation == generation]
            keys = dict.fromkeys(lora for row in mine for lora in row.loras)
            name = GENERATIONS[generation].name
            title = two(mode.title, name)
            rows += [[two(LORAS[k].name, LORAS[k].note), title, _lora(known.get(k))] for k in keys]
            if not keys:
                fast = any("fast" in row.presets for row in mine)
                words = "distilled models need none" if fast else "no Lightning: Quality alone"
                rows.append([NONE, title, words])
    heads = ("LoRA", "Mode", "State")
    return section("Lightning and other LoRAs", "", table("LoRAs", heads, rows) if rows else _NOBODY)


def _lora(info: LoraInfo | None) -> str:
    if info is None:
        return "not here"
    if info.loaded:
        return badge("loaded ✓", "ready")
    if info.disk.where == "code":
        return f"{size(info.disk.bytes)}, part of the code" if info.disk.whole else "Wan-Nano has none"
    return f"{size(info.disk.bytes)} on disk" if info.disk.whole else "downloaded when it is first used"
