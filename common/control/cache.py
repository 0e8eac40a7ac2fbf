"""Keeps made controls by what they were made from, without loss: Generate uses what a preview has shown."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from av.error import FFmpegError
from PIL import Image

from common.annotate.frames import Check, Control, Frames, unchecked, watched
from common.media import lossless

VERSION = 3  # raise when a maker draws differently


def key(recipe: Any) -> str:
    """A name for what a recipe (JSON values, hashes of the files among them) makes."""
    text = json.dumps([VERSION, recipe], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def load(folder: Path, check: Check = unchecked) -> Control | None:
    """The control in a folder; None where there is none, or not all of it."""
    try:
        for file in folder.iterdir():
            os.utime(file)  # all of them the youngest now: a sweep takes files, not folders
        facts = json.loads((folder / "control.json").read_text())
        control = Control(
            _frames(folder / "video.mkv", check),
            _frames(folder / "mask.mkv", check),
            [Image.open(folder / f"reference-{i}.png").convert("RGB") for i in range(facts["references"])],
            list(facts["notices"]),
            bool(facts["kept"]),
        )
    except (OSError, ValueError, KeyError, FFmpegError):
        return None
    return control


def save(control: Control, folder: Path, fps: int, check: Check = unchecked) -> None:
    """Writes a control into `folder`, whole or not at all, in place of what a sweep has left of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
    try:
        lossless.write(watched(control.video, check), fps, work / "video.mkv")
        lossless.write(watched(control.mask, check), fps, work / "mask.mkv")
        for index, image in enumerate(control.references):
            image.save(work / f"reference-{index}.png")
        facts = {
            "references": len(control.references), "notices": control.notices, "kept": control.kept,
        }  # fmt: skip
        (work / "control.json").write_text(json.dumps(facts))
        work.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            work.rename(folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # else another process was first
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _frames(path: Path, check: Check) -> Frames:
    return list(watched(lossless.read(path), check))
