"""Bundles: for each Space a folder that runs with `python app.py`, the same bytes every time."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nano
from common.catalog import LORAS
from common.contract import CONTRACT_VERSION, ModeKey
from common.modes.all import MODES
from deploy import front_matter, requirements
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.targets import Target
from deploy.trace import Closure, closure
from nano import sums as nano_sums
from nano.assemble import lora_file_name, part_folders

MANIFEST = "bundle.json"
MARK = "wan_studio"
"""The entry of the manifest by which a Space is known to be ours."""
MAX_FILE = 10 * 1024 * 1024
WEIGHTS = Path("nano/weights")
EXAMPLES = Path("common/examples")

ROUTER_APP = '''"""Starts the router; its code is the package beside this file."""

import runpy

runpy.run_module("router.app", run_name="__main__")
'''


@dataclass(frozen=True)
class Bundle:
    """Everything that a Space's repository should hold: path to bytes."""

    target: Target
    files: dict[str, bytes]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """bundle.json: what this bundle is and where it came from."""
        return json.loads(self.files[MANIFEST])

    @property
    def version(self) -> str:
        """A short name of this very content."""
        return f"{self.manifest['git_sha'][:12]}-{self.manifest['content'][:8]}"

    def write(self, folder: Path) -> Path:
        """Lay the files out under `folder`."""
        for path, data in self.files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return folder


def build(target: Target, root: Path = ROOT) -> Bundle:
    """The bundle of one Space. Reads this checkout only: no network, no clock."""
    start = _start_files(target, root)
    found = closure(root, start)
    if target.is_router:
        requirements.refuse_heavy(found, root)
    own = (root / "router" if target.is_router else root / "spaces" / str(target.mode)).resolve()
    sources = {*found.files, *_data_files(found, own, root)}
    if target.mode:
        sources -= set(_plain_files(root / EXAMPLES)) - {
            root / EXAMPLES / name for name in _shown(target.mode)
        }
    if target.weights == "nano" and target.mode and (root / "nano" / "__init__.py") in found.files:
        sources |= set(_nano_weights(target.mode, root))
    files: dict[str, bytes] = {}
    for source in sorted(sources):
        inside = not target.is_router and source.is_relative_to(own)
        path = (source.relative_to(own) if inside else source.relative_to(root)).as_posix()
        files[path] = _read(source, root)
    if target.is_router:
        files["app.py"] = ROUTER_APP.encode()
    text = requirements.requirements(own / "requirements.txt", found, root)
    files["requirements.txt"] = text.encode()
    files["README.md"] = front_matter.readme(target, root).encode()
    files[MANIFEST] = _manifest(target, files, sources, root)
    return Bundle(target, dict(sorted(files.items())))


def _start_files(target: Target, root: Path) -> list[Path]:
    """The app with its engine files, or the router's package."""
    folder = root / "router" if target.is_router else root / "spaces" / str(target.mode)
    app = folder / "app.py"
    if not app.is_file():
        raise DeployError(f"{app.relative_to(root)} must exist to make a bundle; it is not built yet")
    return [folder / "__init__.py", app] if target.is_router else [app]


def _nano_weights(mode: ModeKey, root: Path) -> Iterable[Path]:
    """What of Wan-Nano the mode's checkpoints are put together from, with their cards and the list of sums."""
    rows = MODES[mode].rows()
    kinds = {row.kind for row in rows} & set(nano.KINDS)
    loras = {LORAS[key].kind for row in rows for preset in row.presets.values() for key in preset.loras}
    folders = {
        f.relative_to(nano_sums.WEIGHTS) for kind in kinds for f in part_folders(nano.kind_named(kind))
    }
    folders |= {folder.parent for folder in folders}
    names = {lora_file_name(kind, e) for kind in map(nano.kind_named, kinds | loras) for e in kind.experts}
    for file in _plain_files(root / WEIGHTS):
        if file.parent.relative_to(root / WEIGHTS) in folders or file.name in names:
            yield file


def _shown(mode: ModeKey) -> set[str]:
    """Files that the mode's examples show, by name."""
    examples = (*MODES[mode].examples, *MODES[mode].nano_examples)
    values = [value for example in examples for value in example.values.values()]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    return {item for item in flat if isinstance(item, str)}


def _data_files(found: Closure, own: Path, root: Path) -> Iterable[Path]:
    """What lies beside the code: tables, styles, example pictures, in folders that are no packages."""
    skip = {root / WEIGHTS}
    for folder in {*found.packages, own}:
        for file in _plain_files(folder, skip | {d.parent for d in folder.glob("*/__init__.py")}):
            if file.suffix != ".py" and file.name != "requirements.txt":
                yield file


def _plain_files(folder: Path, skip: Iterable[Path] = ()) -> list[Path]:
    """Files under a folder, without caches, hidden ones and the folders in `skip`."""
    skip = set(skip)
    out: list[Path] = []
    if not folder.is_dir():
        return out
    for item in sorted(folder.iterdir()):
        if item.name.startswith(".") or item.name == "__pycache__" or item in skip:
            continue
        out += _plain_files(item, skip) if item.is_dir() else [item]
    return out


def _read(source: Path, root: Path) -> bytes:
    data = source.read_bytes()
    if len(data) > MAX_FILE and WEIGHTS not in source.relative_to(root).parents:
        size = f"{len(data) / 1e6:.0f} MB"
        raise DeployError(f"{source.relative_to(root)} must be under 10 MB to travel in a bundle; got {size}")
    return data


def _manifest(target: Target, files: dict[str, bytes], sources: Iterable[Path], root: Path) -> bytes:
    # Kept with the code, so that a rollback restores the settings that belong to it.
    settings = {
        "variables": dict(sorted(target.variables.items())),
        "volumes": [v.model_dump(exclude_none=True) for v in target.volumes],
    }
    content = hashlib.sha256(json.dumps(settings).encode())
    for path, data in sorted(files.items()):
        content.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
    body = {
        MARK: 1,
        "space": target.name,
        "mode": target.mode,
        "contract": CONTRACT_VERSION,
        "git_sha": source_sha(sorted(sources), root),
        "content": content.hexdigest(),
        **settings,
    }
    return (json.dumps(body, indent=1, ensure_ascii=False) + "\n").encode()


def source_sha(sources: Iterable[Path], root: Path) -> str:
    """The last commit that touched these files, so that other commits leave a bundle as it is.

    Ends in `-dirty` when one of them differs from that commit; `unknown` outside of git.
    """
    paths = [str(p.relative_to(root)) for p in sources]
    try:
        sha = _git(root, "log", "-1", "--format=%H", "--", *paths).strip()
        dirty = _git(root, "status", "--porcelain", "--", *paths).strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    if not sha:
        return "unknown"
    return f"{sha[:12]}-dirty" if dirty else sha


def newest_sha(shas: Iterable[str], root: Path) -> str:
    """Of the commits that bundles came from, the one that has all others behind it; `unknown` outside of git."""
    known = sorted({s.removesuffix("-dirty") for s in shas} - {"unknown"})
    try:
        return _git(root, "rev-list", "--topo-order", "-1", *known).strip() if known else "unknown"
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=root, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout
