"""What torch compiled ahead on a machine like this one: with it the first clip does not wait for its blocks.

In a repack's folder `compiled` lie two files for each card: torch's own compile cache (`save_cache_artifacts`),
packed by gzip, and a JSON of what it was made for. torch takes such a cache where all of that is the same, and
unpickles it: **who writes the file runs code here**. So it is read from a volume that the deployer mounted
(WAN_MODELS) and from nowhere else, never from what was downloaded for a checkpoint or named by a visitor.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

FOLDER = "compiled"
LIBRARIES = ("torch", "triton", "torchao", "diffusers", "peft", "fa3-fwd")


def machine() -> dict[str, str]:
    """What a package is made for: torch's cache knows the card by its name, and each library by its version."""
    found = {"card": "CPU", "capability": "", "cuda": torch.version.cuda or ""}
    if torch.cuda.is_available():
        found["card"] = torch.cuda.get_device_name()
        found["capability"] = ".".join(map(str, torch.cuda.get_device_capability()))
    return found | {name: _version(name) for name in LIBRARIES}


def save(folder: Path, checkpoint: str) -> list[Path]:
    """Writes what this process has compiled into a repack's folder: the package, then what it was made for.

    ValueError where nothing was compiled.
    """
    made = torch.compiler.save_cache_artifacts()
    if made is None:
        raise ValueError("nothing was compiled in this process")
    here = machine()
    package = folder / FOLDER / f"{re.sub('[^a-z0-9]+', '-', here['card'].lower())}.bin.gz"
    package.parent.mkdir(parents=True, exist_ok=True)
    package.write_bytes(gzip.compress(made[0], mtime=0))
    about = {"checkpoint": checkpoint, "sha256": _sha256(package.read_bytes()), "made for": here}
    words = package.with_name(package.name.replace(".bin.gz", ".json"))
    words.write_text(json.dumps(about, indent=1))
    return [package, words]


def take(folder: Path) -> str:
    """Gives torch what lies for this machine in a mounted repack; a notice where that cannot be, empty otherwise.

    Whatever is wrong with a package, blocks are compiled as if there were none.
    """
    here, found = machine(), list[str]()
    for words in sorted((folder / FOLDER).glob("*.json")):
        try:
            about = json.loads(words.read_text("utf-8"))
            apart = _apart(about["made for"], here)
            if not apart:
                _load(words.with_name(words.name.replace(".json", ".bin.gz")), about["sha256"])
                return ""
            found.append(f"{words.name} was made for {apart}")
        except Exception as error:  # of a pickle anything can come
            # The one that is damaged may be this machine's, and is told first.
            found.insert(0, f"{words.name} cannot be used ({type(error).__name__}: {str(error)[:100]})")
    return _notice(found[0]) if found else ""


def _load(package: Path, sha256: str) -> None:
    content = package.read_bytes()
    if _sha256(content) != sha256:
        raise ValueError("its file is not the one that was written; bake it again")
    if torch.compiler.load_cache_artifacts(gzip.decompress(content)) is None:
        raise ValueError("torch could not read it")


def _apart(theirs: dict[str, Any], here: dict[str, str]) -> str:
    """In which facts two machines differ, in words; empty where they are the same."""
    names = [name for name in here if theirs.get(name) != here[name]]
    made, this = (", ".join(f"{n} {of.get(n) or 'none'}" for n in names) for of in (theirs, here))
    return f"{made}; this is {this}" if names else ""


def _notice(why: str) -> str:
    return f"The compiled package {why}: blocks are compiled here at first use (20 to 50 s, once)."


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
