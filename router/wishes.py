"""What a visitor wishes of the page itself, on the Settings page: kept by the browser, read there by `done.js`."""

from __future__ import annotations

from html import escape

_WISHES = {
    "sound": ("A sound when a job is done", "Two short tones, while this page is open."),
    "title": ("Progress in the tab's title", "And that it is done, where another tab is open."),
    "keys": ("Keys", "1 to 9 open pages; Esc, pressed twice, stops the job. Ctrl+Enter always generates."),
}


def _box(name: str, label: str, about: str) -> str:
    return (
        f'<label><input type="checkbox" data-wish="{name}"> <span>{escape(label)}<small>{escape(about)}</small>'
        "</span></label>"
    )


FORM = (
    '<fieldset class="wishes"><legend>This browser</legend>'
    + "".join(_box(name, *words) for name, words in _WISHES.items())
    + "</fieldset>"
)

ON_LOAD = """const boxes = [...element.querySelectorAll('[data-wish]')];
for (const box of boxes) {
    box.checked = window.wanWishes.all()[box.dataset.wish];
    box.addEventListener('change', () => {
        window.wanWishes.set(box.dataset.wish, box.checked);
        if (box.dataset.wish === 'sound' && box.checked) window.wanWishes.ring();  // so that one knows it
    });
}"""
