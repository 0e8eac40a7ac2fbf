"""The Settings page: where each mode runs, how it is, and what it is made of."""

from __future__ import annotations

from html import escape

from common.contract import CONTRACT_VERSION
from common.modes.all import MODES
from router.health import Status, Watcher
from router.shell import short
from router.transfer import Traffic


def page(watcher: Watcher, traffic: Traffic) -> str:
    """The page's HTML, from the last known manifests."""
    rows: list[str] = []
    for key, mode in MODES.items():
        title = f"<tr><td>{escape(mode.title)}</td>"
        places = watcher.statuses(key)
        if not places:
            rows.append(f"{title}<td colspan=4>has no place in this Studio</td></tr>")
        rows += [title + _place(status) for status in places]
    shown = next((s.manifest for k in MODES if (s := watcher.status(k)) and s.manifest), None)
    versions = " · ".join(f"{name} {number}" for name, number in (shown.versions if shown else {}).items())
    ways = traffic.counts
    return (
        '<div class="settings"><h3>Modes</h3><table><thead><tr><th>Mode</th><th>State</th><th>Place</th>'
        f"<th>Machine</th><th>Models</th></tr></thead><tbody>{''.join(rows)}</tbody></table>"
        f"<h3>Send to</h3><p>{ways['path']} by path, {ways['url']} by URL, {ways['relay']} relayed "
        f"({traffic.relayed / 1e6:.1f} MB through this router)</p>"
        f"<h3>About</h3><p>Contract {CONTRACT_VERSION} · {escape(versions)}</p></div>"
    )


def _place(status: Status) -> str:
    shown = status.manifest
    machine = escape(shown.backend.name) if shown else ""
    loaded = ", ".join(shown.loaded) if shown and shown.loaded else "nothing loaded"
    state = f'<span class="state {status.state}">{status.state}</span>'
    return (
        f"<td>{state} {escape(status.text)}</td><td><code>{escape(status.place.where)}</code>{_api(status)}</td>"
        f"<td>{machine}</td><td>{escape(loaded)}</td></tr>"
    )


def _api(status: Status) -> str:
    """A link to the page of a mode's own API, once its address is known."""
    if not status.url:
        return ""
    place = status.place
    url = f"{place.mode}/" if place.mount else status.url  # mounts lie under the Studio's own address
    address = escape(f"{url.rstrip('/')}/?view=api", quote=True)
    return f' <a href="{address}" target="_blank" rel="noopener">API of {short(place.mode)}</a>'
