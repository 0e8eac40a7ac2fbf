"""Whether the embedded weights are whole: their hashes, committed beside them. `python -m nano.sums` writes them.

A missing or cut file once gave noise and exit code 0; now it is an error that names the file.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from common.errors import WeightsError

WEIGHTS = Path(__file__).parent / "weights"
SUMS = WEIGHTS / "SHA256SUMS"
"""As `sha256sum -c` reads it, in the folder of the weights."""
WAY_OUT = "restore it with `git checkout -- nano/weights`, or install Wan Studio again"


def whole_folder(folder: Path) -> Path:
    """A part's folder with all its files as they were trained; WeightsError otherwise."""
    names = [name for name in _sums() if (WEIGHTS / name).parent == folder]
    if not names:
        raise WeightsError(f"Wan-Nano has no part {folder.name}: train it, then run `python -m nano.sums`")
    for name in names:
        whole_file(WEIGHTS / name)
    return folder


def whole_file(path: Path) -> Path:
    """A file of the weights as it was trained; WeightsError for one that is missing, cut or changed."""
    name = path.relative_to(WEIGHTS).as_posix()
    try:
        stat = path.stat()
        ours = _digest(path, stat.st_size, stat.st_mtime_ns) == _sums().get(name)
    except OSError:
        raise WeightsError(f"nano/weights/{name} is missing; {WAY_OUT}") from None
    if not ours:
        raise WeightsError(f"nano/weights/{name} is not the file that belongs there; {WAY_OUT}")
    return path


@cache
def _digest(path: Path, size: int, changed: int) -> str:
    # Once a process and state of the file: all of them take 0.03 to 0.1 s.
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@cache
def _sums() -> dict[str, str]:
    try:
        rows = SUMS.read_text("utf-8").splitlines()
    except OSError:
        raise WeightsError(f"nano/weights/{SUMS.name} is missing; {WAY_OUT}") from None
    return {name: digest for digest, _, name in (row.partition("  ") for row in rows)}


def revision() -> str:
    """What the embedded weights are, as a commit says it of a repository: `nano-` and the hash of the list."""
    return f"nano-{hashlib.sha256(repr(_sums()).encode()).hexdigest()[:12]}"


def listed() -> str:
    """The list as it should stand in the folder."""
    files = sorted(f for f in WEIGHTS.rglob("*") if f.is_file() and f != SUMS and f.suffix != ".md")
    return "".join(
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(WEIGHTS).as_posix()}\n" for f in files
    )


if __name__ == "__main__":
    SUMS.write_text(listed(), "utf-8")
