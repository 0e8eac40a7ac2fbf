"""A job followed on a terminal: a progress bar, the file where it was asked for, and what `--json` prints."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tqdm import tqdm

from common import cache
from common.contract import Done, MediaHandle, Notice, Stage, Step
from common.errors import Cancelled, DiskError, InputError, StudioError, UnavailableError
from common.run.parts import Parts
from common.run.runner import Runner


def check_target(out: str | None) -> None:
    """InputError for an `--out`, or a folder here without one, that could not be written, before the work."""
    target = Path(out or "clip.mp4")
    try:
        if target.is_dir():
            got = f"the folder {out}"
            raise InputError("--out", "must be a file", got=got, hint=f"try {target / 'clip.mp4'}")
        if target.suffix.lower() != ".mp4":
            raise InputError(
                "--out", "must end in .mp4", got=repr(out), hint=f"try {target.with_suffix('.mp4')}"
            )
        target.exists()  # too long a name is found out here
        parent = target.absolute().parent
        place = next(p for p in (parent, *parent.parents) if p.exists())
    except OSError as error:  # too long, or the folder here is gone
        why = (error.strerror or type(error).__name__).lower()
        raise InputError("--out", f"cannot be used: {why}", hint="try another name and folder") from None
    try:
        # Permissions alone do not tell: /proc, a read-only disk, a full one.
        with tempfile.TemporaryFile(dir=place, buffering=0) as probe:
            probe.write(b"x")
    except OSError:
        raise InputError("--out", f"must lie in a folder that can be written; {place} cannot") from None


def follow(runner: Runner, values: dict[str, Any], out: str | None) -> dict[str, Any]:
    """Runs a job to its end; returns `{"file", "plan", "seed", "seconds", "notices"}`.

    `out` is the file to write (`./<mode>-<seed>.mp4`). Raises as `made` does, and DiskError.
    """
    video, done, notices = made(runner, values, f"the same again with --seed {values['seed']}")
    target = Path(out) if out else Path(f"{runner.mode.key}-{done.seed}.mp4")
    keep(video, target)
    return told(target, done, notices)


def told(target: Path, done: Done, notices: list[str]) -> dict[str, Any]:
    """What `--json` prints of a video."""
    return {
        "file": str(target),
        "plan": done.plan.model_dump(mode="json"),
        "seed": done.seed,
        "seconds": done.seconds,
        "notices": notices,
    }


def made(runner: Runner, values: dict[str, Any], again: str) -> tuple[MediaHandle, Done, list[str]]:
    """Runs a job to its end: the video where it was made, how it was, and the notices.

    Raises StudioError; Ctrl-C cancels the job. Where segments are kept of one that ends early, stderr has how to go
    on from them: `again`, for `values` has its seed.
    """
    job = _Job()
    try:
        video, done = asyncio.run(_run(runner, values, job))
    except (Exception, KeyboardInterrupt) as error:
        if words := job.parts.words:
            print(f"wan-studio: {words}; {again} goes on from there", file=sys.stderr)
        if isinstance(error, KeyboardInterrupt):
            raise Cancelled() from None
        raise
    return video, done, job.notices


def keep(video: MediaHandle, target: Path) -> None:
    """Writes a video that was made where it was asked for; DiskError says where it is where that fails."""
    try:
        _fetch(video, target)
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise DiskError(f"{target} cannot be written: {why}; the video itself is {place_of(video)}") from None


@dataclass
class _Job:
    """What is known of a job, however it ends."""

    parts: Parts = field(default_factory=Parts)
    notices: list[str] = field(default_factory=lambda: list[str]())


async def _run(runner: Runner, values: dict[str, Any], job: _Job) -> tuple[MediaHandle, Done]:
    last: tuple[MediaHandle, Done] | None = None
    quiet = not sys.stderr.isatty()
    with tqdm(disable=quiet, file=sys.stderr, leave=False, unit="step") as bar:
        async for video, event in runner.stream(values):
            job.parts = job.parts.after(event)
            if isinstance(event, Stage):
                bar.set_description(event.text)
            elif isinstance(event, Step):
                bar.total, bar.n = event.total, event.index
                if event.segments:
                    bar.set_description(f"Segment {event.segment} of {event.segments}", refresh=False)
                bar.refresh()
            elif isinstance(event, Notice):
                job.notices.append(event.text)
                bar.write(f"note: {event.text}", file=sys.stderr)
            elif isinstance(event, Done) and video is not None:
                last = video, event
    if last is None:
        raise StudioError("the job ended without a video")
    return last


def place_of(video: MediaHandle) -> str:
    """Where a video lies by itself: a path of this machine, or an address."""
    return video.path if Path(video.path).is_file() else str(video.url)


def _fetch(video: MediaHandle, target: Path) -> None:
    with cache.whole(target) as part:
        if Path(video.path).is_file():
            shutil.copyfile(video.path, part)
            return
        if not video.url:
            raise StudioError(f"the server named no address for {video.path}")
        try:
            with (
                httpx.stream("GET", video.url, timeout=60, follow_redirects=True) as reply,
                part.open("wb") as file,
            ):
                reply.raise_for_status()
                for piece in reply.iter_bytes():
                    file.write(piece)
        except httpx.HTTPError as error:
            raise UnavailableError(
                f"the video was made but could not be fetched from {video.url} ({type(error).__name__}); "
                "open that address, or try again"
            ) from None
