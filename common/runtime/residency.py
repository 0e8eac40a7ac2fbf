"""Keeps one pipeline in memory per process: asking for another lets the first one's transformers go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

from common.contract import Device
from common.runtime.backend import free_memory


class Residency:
    """The one pipeline that is loaded. Text encoder, VAE and CLIP outlive a swap: `load` shares them."""

    def __init__(self) -> None:
        self._key: tuple[str, ...] | None = None
        self._pipe: Any = None
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], device: Device, build: Callable[[], Any]) -> Any:
        """The pipeline of `key`, built after the other one has gone."""
        with self._lock:
            if self._key != key:
                self._drop(device)
                self._pipe = build()
                self._key = key
            return self._pipe

    def holds(self, key: tuple[str, ...]) -> bool:
        """Whether `key` is loaded."""
        return self._key == key

    @property
    def key(self) -> tuple[str, ...] | None:
        """What is loaded."""
        return self._key

    def unload(self, device: Device) -> None:
        """Lets the pipeline go."""
        with self._lock:
            self._drop(device)

    def _drop(self, device: Device) -> None:
        if self._pipe is None:
            return
        self._key = self._pipe = None
        gc.collect()  # diffusers pipelines hold reference cycles
        free_memory(device)


HOUSE = Residency()
"""The residency of this process: every mode that the launcher mounts shares it."""
