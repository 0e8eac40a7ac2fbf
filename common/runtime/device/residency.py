"""Keeps one checkpoint in a device's memory: asking for another lets the first one's transformers go."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Collection, Hashable
from typing import Any

from common.contract import Device
from common.runtime.device.backend import free_memory


class Residency:
    """The one checkpoint that is loaded, as one pipeline for each class that asked for it, and the parts (text
    encoder, VAE, CLIP) that outlive a swap."""

    def __init__(self, device: Device) -> None:
        self._device: Device = device
        self._key: tuple[str, ...] | None = None
        self._pipes: dict[str, Any] = {}
        self._parts: dict[Hashable, Any] = {}
        self._lock = threading.Lock()
        self._parts_lock = threading.Lock()

    def get(self, key: tuple[str, ...], pipeline: str, build: Callable[[Any], Any]) -> Any:
        """The pipeline of class `pipeline` on what `key` names, built after the other one has gone.

        `build` is given one of another class on the same, to take its transformers from; None where there is none.
        """
        with self._lock:
            if self._key != key:
                self._drop()
            if pipeline not in self._pipes:
                self._pipes[pipeline] = build(next(iter(self._pipes.values()), None))
                self._key = key
            return self._pipes[pipeline]

    def part(self, key: Hashable, load: Callable[[], Any]) -> Any:
        """A part that pipelines share, loaded once."""
        with self._parts_lock:
            if key not in self._parts:
                self._parts[key] = load()
            return self._parts[key]

    def keep(self, keys: Collection[Hashable]) -> None:
        """Lets all parts go but these: no plan counts what another checkpoint has left behind."""
        with self._parts_lock:
            gone = [key for key in self._parts if key not in keys]
            for key in gone:
                del self._parts[key]
        if gone:
            gc.collect()
            free_memory(self._device)

    @property
    def key(self) -> tuple[str, ...] | None:
        """What is loaded."""
        return self._key

    @property
    def pipes(self) -> list[Any]:
        """The pipelines on it, one a class."""
        return [*self._pipes.values()]

    def unload(self) -> None:
        """Lets the pipeline and the shared parts go; a pipeline that is still at work keeps its own."""
        with self._lock:
            self._drop()
        with self._parts_lock:
            self._parts.clear()
        gc.collect()
        free_memory(self._device)

    def _drop(self) -> None:
        if self._key is None:
            return
        self._key = None
        self._pipes.clear()
        gc.collect()  # diffusers pipelines hold reference cycles
        free_memory(self._device)
