"""Line drawings for the sidebar; no emoji font is needed to see them."""

from __future__ import annotations

# ruff: noqa: E501 - a path is a path

_ICONS = {
    "t2v": '<path d="M4 6h16M4 11h9M4 16h6"/><path d="M15.5 13.5v6l5-3z"/>',
    "i2v": '<rect x="3" y="4" width="18" height="16" rx="3"/><circle cx="8.5" cy="9.5" r="1.7"/>'
    '<path d="M4 18l5.5-5 4 3.5 3-2.5 4 3.5"/>',
    "flf2v": '<rect x="2.5" y="6" width="6" height="12" rx="1.5"/><rect x="15.5" y="6" width="6" height="12" rx="1.5"/>'
    '<path d="M10.5 12h3M12.2 10.5l1.5 1.5-1.5 1.5"/>',
    "v2v": '<path d="M4 9a8 8 0 0 1 14-2.5M20 4v4h-4M20 15a8 8 0 0 1-14 2.5M4 20v-4h4"/>',
    "vace": '<path d="M5 4v6M5 14v6M12 4v3M12 11v9M19 4v9M19 17v3"/><circle cx="5" cy="12" r="2"/>'
    '<circle cx="12" cy="9" r="2"/><circle cx="19" cy="15" r="2"/>',
    "s2v": '<path d="M4 10v4M8 7v10M12 4v16M16 8v8M20 10.5v3"/>',
    "animate": '<circle cx="12" cy="5" r="2"/><path d="M12 7v6M12 9l-5 2M12 9l5-2M12 13l-3 7M12 13l4 6"/>',
    "gallery": '<rect x="4" y="4" width="7" height="7" rx="1.5"/><rect x="13" y="4" width="7" height="7" rx="1.5"/>'
    '<rect x="4" y="13" width="7" height="7" rx="1.5"/><rect x="13" y="13" width="7" height="7" rx="1.5"/>',
    "queue": '<path d="M9 6h11M9 12h11M9 18h11"/><path d="M3.5 4.5v3l2.3-1.5zM4 12h.5M4 18h.5"/>',
    "settings": '<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>',
}


def icon(page: str) -> str:
    """A line drawing of a page's meaning, in the colour of its text."""
    return (
        '<span class="icon" aria-hidden="true"><svg viewBox="0 0 24 24" fill="none" stroke="currentColor" '
        f'stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round">{_ICONS[page]}</svg></span>'
    )
