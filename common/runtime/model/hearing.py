"""The model that listens to a sound for S2V: on the CPU, before a GPU is asked for."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.contract import Backend
from common.runtime.model import index, load

PARTS = ("audio_encoder", "audio_processor")
"""Of a pipeline's folder: none of it goes to the GPU with the rest."""


@dataclass
class Hearing:
    """Loads encoder and processor of a diffusers folder when they are first needed, and keeps the last ones."""

    _folder: Path | None = None
    _parts: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    def of(self, folder: Path) -> tuple[Any, ...]:
        """The encoder and its processor; WeightsError where they cannot be loaded."""
        with self._lock:
            if folder != self._folder:
                _, classes = index.read(folder)
                self._parts = tuple(
                    load.part(folder / name, classes[name], Backend(device="cpu")) for name in PARTS
                )
                self._folder = folder
            return self._parts

    def forget(self) -> None:
        """Lets them go."""
        with self._lock:
            self._folder, self._parts = None, ()
