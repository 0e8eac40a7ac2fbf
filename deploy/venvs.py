"""A venv for each distinct set of requirements, holding what the bundle asks and what the platform brings."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from deploy import bundle
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.requirements import gradio_version, pins
from deploy.targets import Target


def cache_folder() -> Path:
    """Where venvs are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "wan-studio" / "venvs"


def for_targets(
    targets: Sequence[Target],
    *,
    torch: str | None = None,
    root: Path = ROOT,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Path]:
    """The interpreter for each target's name; Spaces that ask for the same share one venv."""
    out: dict[str, Path] = {}
    for target in targets:
        text = bundle.build(target, root).files["requirements.txt"].decode()
        out[target.name] = venv(platform(root) + replace_torch(text, torch), folder or cache_folder(), say)
    return out


def platform(root: Path = ROOT) -> str:
    """What a Gradio Space on the Hub installs by itself."""
    known = pins(root)
    lines = [f"gradio[oauth,mcp]=={gradio_version(root)}"]
    lines += [f"{name}=={known[name]}" for name in ("spaces", "huggingface-hub") if name in known]
    return "".join(f"{line}\n" for line in lines)


def replace_torch(text: str, torch: str | None) -> str:
    """The requirements with another torch; torchvision goes, for its version is bound to torch's."""
    if torch is None:
        return text
    lines = [line for line in text.splitlines() if not re.match(r"(torch|torchvision)\b(?!ao)", line)]
    if len(lines) != len(text.splitlines()):
        lines.insert(0, torch)
    return "".join(f"{line}\n" for line in lines)


def venv(requirements: str, folder: Path, say: Callable[[str], None] = print) -> Path:
    """The interpreter of a finished venv with these requirements, made on the first call."""
    key = hashlib.sha256(f"{sys.version_info[:2]}\n{requirements}".encode()).hexdigest()[:12]
    home = folder / key
    python, done = home / "bin" / "python", home / "done"
    if done.is_file():
        return python
    say(f"making a venv in {home} (minutes the first time)")
    shutil.rmtree(home, ignore_errors=True)
    if base := _largest_part(requirements, folder):
        # Files are shared, not copied: pip replaces one and never writes into it. Its scripts are the base's.
        shutil.copytree(base, home, symlinks=True, copy_function=os.link, ignore=partial(_own, base))
    else:
        _run([sys.executable, "-m", "venv", str(home)])
    wanted = home / "requirements.txt"
    wanted.write_text(requirements)
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(wanted)])
    done.touch()
    return python


def _own(home: Path, place: str, names: list[str]) -> set[str]:
    # Not even for a moment: who is killed in the middle must not leave a venv that says it is done.
    return {"done", "requirements.txt"} if Path(place) == home else set()


def _largest_part(requirements: str, folder: Path) -> Path | None:
    """The finished venv that lacks the least of these requirements and holds nothing beside them."""
    lines, library = set(requirements.splitlines()), f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    parts = {
        done.parent: asked
        for done in folder.glob("*/done")
        if (done.parent / library).is_dir()  # another Python's venv is none of this one's
        and (asked := set((done.parent / "requirements.txt").read_text().splitlines())) <= lines
    }
    return max(parts, key=lambda home: len(parts[home]), default=None)


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        tail = "\n".join((done.stderr or done.stdout).splitlines()[-12:])
        raise DeployError(f"the venv must install, but {command[2]} failed; mend the requirements:\n{tail}")
