"""Whether the folder of a pipeline is whole: volumes came with cut files, and a cache keeps what was cut."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.runtime.model import index

MODELS = ("text_encoder", "transformer", "transformer_2", "vae", "image_encoder", "audio_encoder")
_HEADER_BYTES = 100_000_000
"""More than safetensors itself reads."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a folder; `missing` where a download would mend it, for it keeps what is there.

    `file` is the one that was cut.
    """

    text: str
    missing: bool = False
    file: Path | None = None


def fault(folder: Path) -> Fault | None:
    """The first thing wrong: a part, shard or file that is not there, or one that was cut. Reads headers alone.

    A safetensors file says itself how long it is, so that a cut one is known without the Hub.
    """
    try:
        name = index.name_in(folder)
        if not (folder / name).is_file():
            return Fault(f"{name} is not there", missing=True)
        for part in index.parts(_read(folder, name)):
            _check_part(folder, part)
    except _Found as found:
        return found.fault
    except OSError as error:
        return Fault(f"{error.filename or folder} cannot be read ({error.strerror})")
    return None


def is_whole(folder: Path) -> bool:
    """Whether every component that its index names is there, with all of its files, none of them cut."""
    return fault(folder) is None


def cut(file: Path) -> Fault | None:
    """What is wrong with a safetensors file by itself."""
    try:
        _check_length(file, file.name)
    except _Found as found:
        return found.fault
    return None


class _Found(Exception):
    def __init__(self, text: str, *, missing: bool = False, file: Path | None = None) -> None:
        self.fault = Fault(text, missing, file)


def _check_part(folder: Path, part: str) -> None:
    place = folder / part
    files = sorted(f for f in place.iterdir() if f.is_file()) if place.is_dir() else []
    if not files:
        raise _Found(f"{part}/ is not there", missing=True)
    texts = {f.name: _read(folder, f"{part}/{f.name}") for f in files if f.suffix == ".json"}
    weights = {f.name for f in files if f.suffix == ".safetensors"}
    for name, text in texts.items():
        if name.endswith(".safetensors.index.json"):
            mapped = text.get("weight_map")
            if not isinstance(mapped, dict):
                raise _Found(f"{part}/{name} names no shards", file=place / name)
            for shard in sorted({str(v) for v in mapped.values()} - weights):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
                raise _Found(f"{part}/{shard} is not there", missing=True)
    if part in MODELS:
        if "config.json" not in texts:
            raise _Found(f"{part}/config.json is not there", missing=True)
        if not weights:
            raise _Found(f"{part}/ has no safetensors file", missing=True)
        for name in sorted(weights):
            _check_length(place / name, f"{part}/{name}")


def _read(folder: Path, name: str) -> dict[str, Any]:
    data = (folder / name).read_bytes()
    try:
        found = json.loads(data)
    except ValueError:
        raise _Found(f"{name} is cut or no JSON ({len(data)} bytes)", file=folder / name) from None
    if not isinstance(found, dict) and name.endswith(("config.json", "index.json")):
        raise _Found(f"{name} is not what belongs there", file=folder / name)
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _check_length(file: Path, name: str) -> None:
    """Eight bytes say how long the header is, and the header where the last tensor ends."""
    have = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        head = opened.read(length) if have >= 8 and length <= min(have, _HEADER_BYTES) else b""
    try:
        tensors = json.loads(head)
        ends = [entry["data_offsets"][1] for key, entry in tensors.items() if key != "__metadata__"]
        wanted = 8 + length + max(ends, default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise _Found(f"{name} is cut or no safetensors file ({have} bytes)", file=file) from None
    if have != wanted:
        raise _Found(f"{name} has {have} bytes, and its header says {wanted}", file=file)
