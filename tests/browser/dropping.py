"""A file dropped on the page, as from a desktop."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

_DROP = """([name, data]) => {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const files = new DataTransfer();
    files.items.add(new File([bytes], name, {type: 'video/mp4'}));
    const stage = document.querySelector('.page-t2v .stage');
    stage.dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true, cancelable: true}));
}"""


def drop(page: Any, file: Path) -> None:
    """Drops it on the stage of Text to Video, which is no input."""
    page.evaluate(_DROP, [file.name, base64.b64encode(file.read_bytes()).decode()])
