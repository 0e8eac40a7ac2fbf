"""A visitor's preset defaults: in a file where the Studio is somebody's own, else in the visitor's browser.

What cannot be read is ignored with a word, and replaced by what is saved next.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from common import cache
from common.contract import ModeKey
from common.errors import InputError, UnavailableError
from common.modes.all import MODES
from common.panels.own import NONE, ModeDefaults

log = logging.getLogger(__name__)

NAME = "presets.json"
MOST_BYTES = 64_000
"""More than all modes' take."""

_KEPT = TypeAdapter(dict[str, ModeDefaults])
Kept = dict[str, ModeDefaults]


class Defaults:
    """Of whoever asks; see `common.panels.own.Own`. `stored` is what the browser keeps, `folder` a person's own."""

    def __init__(self, stored: Any, folder: Path | None = None) -> None:
        self.stored = stored
        self.file = folder / NAME if folder else None

    def of(self, mode: str, stored: object) -> ModeDefaults:
        """Those of a mode."""
        return self._read(stored)[0].get(mode, NONE)

    def modes(self, stored: object) -> list[ModeKey]:
        """The modes that have any."""
        kept = self._read(stored)[0]
        return [key for key in MODES if kept.get(key, NONE) != NONE]

    def word(self, stored: object) -> str:
        """What is wrong with what was kept; empty where nothing is."""
        return self._read(stored)[1]

    def changed(self, stored: object, mode: object, own: ModeDefaults) -> Any:
        """Keeps those of a mode, or none any more; what the browser is to keep from now on."""
        if mode not in tuple(MODES):
            raise InputError("mode", "must be one of " + ", ".join(MODES))
        kept = {key: value for key, value in {**self._read(stored)[0], str(mode): own}.items() if value != NONE}
        plain = {key: value.model_dump(exclude_defaults=True) for key, value in kept.items()}
        if self.file is None:
            return plain
        try:
            with cache.whole(self.file) as part:
                part.write_text(json.dumps(plain, indent=1), "utf-8")
        except OSError as error:
            why = (error.strerror or type(error).__name__).lower()
            raise UnavailableError(f"the defaults could not be kept in {self.file}: {why}") from None
        return {}

    def _read(self, stored: object) -> tuple[Kept, str]:
        if self.file is None:
            return _parsed(stored, "What this browser kept of preset defaults")
        name = f"{NAME} in the Studio's folder"
        try:
            if self.file.stat().st_size > MOST_BYTES:
                return {}, _broken(name)
            return _parsed(json.loads(self.file.read_text("utf-8")), name)
        except FileNotFoundError:
            return {}, ""
        except (OSError, ValueError, RecursionError):
            return {}, _broken(name)


def _parsed(raw: object, name: str) -> tuple[Kept, str]:
    if raw in (None, ""):
        return {}, ""
    try:
        kept = _KEPT.validate_python(raw)
    except ValidationError:
        return {}, _broken(name)
    return {key: value for key, value in kept.items() if key in tuple(MODES)}, ""


def _broken(name: str) -> str:
    return f"{name} cannot be read, and is ignored; saving replaces it."
