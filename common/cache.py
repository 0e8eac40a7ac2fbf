"""Keeps an app's files within their budget: the least recently used go first, what is written just now never.

Gradio's own `delete_cache` knows the files of its components alone: no result, no control, no relayed copy.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import stat
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from common.budgets import BUDGETS, Budgets
from common.errors import UnavailableError

log = logging.getLogger(__name__)

EVERY_SECONDS = 10.0
GRACE_SECONDS = 60.0
"""A file this young belongs to a job that works with it."""
RESULTS = "wan-studio"
"""The sub-folder of the cache where results lie."""

_watched: set[Path] = set()
_held: Counter[Path] = Counter()
_stuck: set[Path] = set()
_lock = threading.Lock()


def root() -> Path:
    """Where Gradio keeps uploads and serves files from; see `gradio.utils.get_upload_folder`."""
    return Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio").resolve()


def results() -> Path:
    """Where videos go: inside Gradio's cache, so that its file route may serve them."""
    folder = root() / RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def own_folder() -> Path:
    """What this app may delete from: all of its cache, or where it shares one with strangers its results alone.

    Gradio's default folder is every Gradio app's of this machine. On a Space nobody else is there.
    """
    folder = root()
    alone = os.environ.get("GRADIO_TEMP_DIR") or os.environ.get("SPACE_ID")
    return folder if alone else folder / RESULTS


def keep(fixed: Iterable[str]) -> None:
    """Starts to look after the cache, once a process and folder, until the process ends.

    `fixed` are files that an app shows as long as it runs, such as its examples.
    """
    folder = own_folder()
    with _lock:
        _held.update(Path(path).resolve() for path in fixed)
        if folder in _watched:
            return
        _watched.add(folder)
    threading.Thread(target=_watch, args=(folder,), name="cache", daemon=True).start()


def _watch(folder: Path) -> None:
    while True:
        try:
            sweep(folder)
        except OSError:  # another process may sweep the same folder, and the disk may be anything
            log.exception("the cache could not be swept")
        time.sleep(EVERY_SECONDS)


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write to, which becomes `path` in the end; on a failure nothing is left."""
    new = not path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(4)}.part")
    try:
        with holding([str(part)]):  # what comes next into it may take minutes: a clip is decoded meanwhile
            yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
        if new:
            with suppress(OSError):  # all went well, and it is not empty
                path.parent.rmdir()


def used(path: Path) -> None:
    """A file was asked for: it is the youngest now."""
    with suppress(OSError):
        os.utime(path)


@contextmanager
def holding(paths: Iterable[str]) -> Iterator[None]:
    """Files that a job still has to read stay, however long it waits for its turn."""
    held = [Path(path).resolve() for path in paths]
    with _lock:
        _held.update(held)
    try:
        yield
    finally:
        with _lock:
            _held.subtract(held)
            for path in held:
                if _held[path] <= 0:
                    del _held[path]


def held(path: Path) -> bool:
    """Whether a job of this process still has to read a file, or an app shows it."""
    with _lock:
        return path.resolve() in _held


def sweep(folder: Path, budgets: Budgets = BUDGETS) -> int:
    """Deletes what is too old or too much; how many bytes that freed. Links are neither followed nor counted.

    What is held stays, and is touched, so that whoever else sweeps the folder leaves it too.
    """
    if folder.is_symlink():  # perhaps a stranger's, in a folder that all share, to have its target emptied
        return 0
    with _lock:
        touched = list(_held)
    for path in touched:
        used(path)
    now, freed = time.time(), 0
    files = sorted(_files(folder))
    total = sum(size for _, size, _ in files)
    for changed, size, path in files:
        age = now - changed
        if age < GRACE_SECONDS or (age < budgets.cache_seconds and total <= budgets.cache_bytes):
            continue
        if held(path):  # since then, or touched by somebody who gave it its old time back
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:  # another user's, in a folder that both share
            if path not in _stuck:
                log.warning("%s stays in the cache: %s", path, error.strerror)
                _stuck.add(path)
            continue
        total, freed = total - size, freed + size
        with suppress(OSError):  # somebody else's file is in it
            path.parent.rmdir()
    return freed


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            with suppress(OSError):
                found = path.lstat()
                if stat.S_ISREG(found.st_mode):
                    yield found.st_mtime, found.st_size, path


def check_free() -> None:
    """UnavailableError where a job would find no room for its result."""
    try:
        free = shutil.disk_usage(results()).free
        if free < BUDGETS.free_bytes:
            sweep(own_folder())
            free = shutil.disk_usage(root()).free
    except OSError as error:
        raise _cannot_keep(error) from None
    if free < BUDGETS.free_bytes:
        raise UnavailableError(
            f"this machine's disk is full: {free / 1e6:.0f} MB free, a job wants {BUDGETS.free_bytes / 1e6:.0f}; "
            "delete something there, or try again later"
        )
    check_writable()


def check_writable() -> None:
    """UnavailableError where nothing can be kept: a quota or a read-only disk shows in a written byte alone."""
    try:
        with tempfile.TemporaryFile(dir=results(), buffering=0) as probe:
            probe.write(b"x")
    except OSError as error:
        raise _cannot_keep(error) from None


def _cannot_keep(error: OSError) -> UnavailableError:
    why = (error.strerror or type(error).__name__).lower()
    return UnavailableError(
        f"this machine cannot keep results: {why}; set GRADIO_TEMP_DIR to a folder that can be written"
    )
