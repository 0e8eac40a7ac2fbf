"""Files between this machine's cache and a worker's, where they are two: under the same name on both."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common import cache

PIECE = 8_000_000
"""Bytes a call: more would wait in memory three times over."""
CALL_SECONDS = 120.0


def bring(worker: Any, paths: Iterable[Path]) -> None:
    """Copies files there that are not there yet; their names say what is in them."""
    for path in paths:
        if not worker.answer(worker.ask("sees", str(path)), CALL_SECONDS):
            size, start = path.stat().st_size, 0
            with path.open("rb") as file:
                while True:
                    piece = file.read(PIECE)
                    last = start + len(piece) >= size
                    worker.answer(worker.ask("put", str(path), start, piece, last=last), CALL_SECONDS)
                    start += len(piece)
                    if last:
                        break


def fetch(worker: Any, path: Path) -> None:
    """Copies a file from there, whole or not at all."""
    if path.is_file():
        return
    size, start = worker.answer(worker.ask("size", str(path)), CALL_SECONDS), 0
    with cache.whole(path) as part, part.open("wb") as file:
        while start < size:
            piece = worker.answer(worker.ask("get", str(path), start, PIECE), CALL_SECONDS)
            start += file.write(piece)
