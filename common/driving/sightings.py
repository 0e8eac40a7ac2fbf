"""Keeps what a maker has seen: arrays and numbers, nothing that could run when it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

_FRAMES, _SIZE, _NOTICES = "frames", "size", "notices"


@dataclass(frozen=True)
class Seen:
    """One sighting a frame, in pixels of `size`, and what was to be said of them."""

    sightings: Sequence[Any]
    size: tuple[int, int]
    notices: Sequence[str] = field(default_factory=list)


def write(seen: Seen, path: Path) -> None:
    """As numpy's archive; its names are those of the sightings' fields, after the number of the frame."""
    values: dict[str, Any] = {
        _FRAMES: [sighting is not None for sighting in seen.sightings],
        _SIZE: seen.size,
        _NOTICES: np.array(list(seen.notices), dtype=np.str_),
    }
    for index, sighting in enumerate(seen.sightings):
        if sighting is not None:
            values |= {
                f"{index}.{name}": value for name, value in sighting._asdict().items() if value is not None
            }
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **values)


def read(path: Path, kind: Any) -> Seen:
    """What was written, each sighting a named tuple of this kind."""
    with np.load(path, allow_pickle=False) as values:

        def fields(index: int) -> Iterator[Any]:
            for name in kind._fields:
                value = values.get(f"{index}.{name}")
                yield value.item() if value is not None and value.ndim == 0 else value

        sightings = [kind(*fields(index)) if there else None for index, there in enumerate(values[_FRAMES])]
        width, height = values[_SIZE].tolist()
        return Seen(sightings, (width, height), values[_NOTICES].tolist())
