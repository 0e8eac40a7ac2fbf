"""Downloads of checkpoints ahead of any job: one of each at a time in a process, counted, and cancelled at once.

What was whole when one ended stays, and the next goes on from there.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any, cast

from common import cost
from common.catalog import Checkpoint
from common.contract import Coming
from common.errors import Cancelled, StudioError
from common.run.runner import explain
from common.runtime.model import weights


@dataclass
class _Fetch:
    """One download, as a `weights.Watch`. `total` is a guess until the Hub has said it."""

    total: int
    done: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)
    error: StudioError | None = None

    def __post_init__(self) -> None:
        self.bar = _bar_of(self)

    def expect(self, total: int, done: int) -> None:
        """See `weights.Watch`."""
        self.total, self.done = total, done

    def check(self) -> None:
        """Cancelled, once it is."""
        if self.cancelled.is_set():
            raise Cancelled


_fetches: dict[str, _Fetch] = {}
_lock = threading.Lock()


def begin(row: Checkpoint, *, again: bool = False) -> None:
    """Starts to download what is missing of a checkpoint, or all of it `again`; one that runs goes on."""
    with _lock:
        before = _fetches.get(row.key)
        if before is not None and not before.ended.is_set():
            return
        fetch = _fetches[row.key] = _Fetch(cost.download_bytes(row))
    threading.Thread(target=_run, args=(row, fetch, again), name=f"fetch-{row.key}", daemon=True).start()


def cancel(key: str) -> None:
    """Ends a download as soon as its next byte comes; nothing where none runs. What has failed is forgotten."""
    with _lock:
        fetch = _fetches.get(key)
        if fetch is not None and fetch.ended.is_set():
            del _fetches[key]
    if fetch is not None:
        fetch.cancelled.set()


def running(key: str) -> bool:
    """Whether it is being downloaded."""
    with _lock:
        fetch = _fetches.get(key)
    return fetch is not None and not fetch.ended.is_set()


def state(key: str) -> Coming | None:
    """How far a download is, or how it ended; None where none was asked for, or it has all arrived."""
    with _lock:
        fetch = _fetches.get(key)
    if fetch is None:
        return None
    if not fetch.ended.is_set():
        text = "stopping" if fetch.cancelled.is_set() else ""
        return Coming(done=fetch.done, total=fetch.total, text=text)
    if fetch.cancelled.is_set():
        return Coming(state="cancelled", done=fetch.done, total=fetch.total)
    if fetch.error is not None:
        return Coming(state="failed", done=fetch.done, total=fetch.total, text=fetch.error.text)
    return None


def _run(row: Checkpoint, fetch: _Fetch, again: bool) -> None:
    try:
        weights.fetch(row, lambda _: None, fetch, again=again)
    except Exception as error:
        fetch.error = explain(error)
    finally:
        fetch.ended.set()


def _bar_of(fetch: _Fetch) -> type[Any]:
    """What `huggingface_hub` takes for a progress bar, of files and of bytes: each ends what is cancelled."""
    from tqdm import tqdm

    lock, plain = threading.Lock(), cast(Any, tqdm)

    class Bar(plain):
        def __init__(self, *args: Any, **options: Any) -> None:
            # There are two of bytes, of which the one of what came over the wire is not told of what lay in a cache.
            self._counts = options.get("unit") == "B" and not str(options.get("desc")).startswith("Downloading")
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            fetch.check()
            if self._counts:
                with lock:
                    fetch.done += int(n or 0)
            return None

        def refresh(self, *args: Any, **options: Any) -> None:
            fetch.check()

    return Bar
