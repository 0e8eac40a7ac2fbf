"""How a file gets from where it lies to the mode that needs it: path, URL, or relay. Bytes are counted.

shared cache   both ends read the same folder: the path is enough, nothing is copied
public URL     the target fetches the file itself
relay          anything else (private Spaces, loopback): through this process, in chunks

What a private Space makes comes here too, for the visitor to see, and so does what a container makes whose name its
own network alone knows.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

import httpx

from common import cache
from common.contract import MediaHandle
from common.errors import MediaError, UnavailableError
from router.federation import Place, on_the_internet

Way = Literal["path", "url", "relay"]
CHUNK = 1 << 20


@dataclass
class Traffic:
    """Bytes of media that passed through the router, by way."""

    relayed: int = 0
    counts: dict[Way, int] = field(default_factory=lambda: {"path": 0, "url": 0, "relay": 0})
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, way: Way, size: int = 0) -> None:
        """Count one hand-over."""
        with self._lock:
            self.counts[way] += 1
            self.relayed += size


def way(handle: MediaHandle, source: Place | None, target: Place, *, private: bool = False) -> Way:
    """How `handle`, made by `source` (None: uploaded to the router), reaches `target`."""
    if target.mount and (source is None or source.mount) and Path(handle.path).is_absolute():
        return "path"
    public = source is not None and source.public and target.public and not private
    if public and _is_url(handle) and on_the_internet(str(handle.url)):
        return "url"
    return "relay"


def deliver(
    handle: MediaHandle,
    source: Place | None,
    target: Place,
    target_url: str,
    traffic: Traffic,
    *,
    tokens: tuple[str | None, str | None] = (None, None),
) -> dict[str, Any]:
    """The FileData that `target` is to be given. Raises MediaError for a file that is gone.

    `tokens` are what the two ends have to be shown, None for a public one. A Space could not fetch from a
    private one, so that file is relayed.
    """
    there, here = (_headers(token) for token in tokens)
    chosen = way(handle, source, target, private=tokens[0] is not None)
    data: dict[str, Any] = {"orig_name": handle.orig_name, "meta": {"_type": "gradio.FileData"}}
    if chosen == "path":
        if not Path(handle.path).is_file():
            raise _gone(handle)
        traffic.add("path")
        return data | {"path": handle.path}
    if chosen == "url":
        _still_there(str(handle.url), there)
        traffic.add("url")
        return data | {"path": handle.url, "url": handle.url}
    path, size = _relay(handle, source, target_url, there, here)
    traffic.add("relay", size)
    return data | {"path": path}


def _headers(token: str | None) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def keep_here(handle: MediaHandle, token: str, traffic: Traffic) -> MediaHandle:
    """A file of a place that no visitor's browser reaches as one of this router's own. `token` is empty for none."""
    name = Path(handle.orig_name or handle.path).name
    path, size = cache.root() / "private" / secrets.token_hex(16) / name, 0
    try:
        with httpx.stream("GET", str(handle.url), headers=_headers(token), timeout=60) as reply:
            reply.raise_for_status()
            with cache.whole(path) as part, part.open("wb") as file:
                for piece in reply.iter_bytes(CHUNK):
                    size += file.write(piece)
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"the result could not be fetched from where it was made ({type(error).__name__}); try again"
        ) from None
    traffic.add("relay", size)
    return handle.model_copy(update={"path": str(path), "url": None})


def _is_url(handle: MediaHandle) -> bool:
    return bool(handle.url and handle.url.startswith(("http://", "https://")))


def _gone(handle: MediaHandle) -> MediaError:
    return MediaError(
        handle.orig_name or "file", "has expired on the Space that made it", hint="run it again"
    )


def _still_there(url: str, headers: Mapping[str, str]) -> None:
    # A missing or expired file is 403 in Gradio, and would be a puzzling error from inside the target Space.
    try:
        reply = httpx.head(url, headers=dict(headers), timeout=10, follow_redirects=True)
    except httpx.HTTPError as error:
        raise UnavailableError(
            f"the Space that holds the file does not answer ({type(error).__name__})"
        ) from None
    if reply.status_code in (403, 404, 410):
        raise _gone(MediaHandle(path=url))


def _relay(
    handle: MediaHandle,
    source: Place | None,
    target_url: str,
    there: Mapping[str, str],
    here: Mapping[str, str],
) -> tuple[str, int]:
    counter = _Counter()
    try:
        with _open(handle, source, there) as stream:
            counter.stream = stream
            name = handle.orig_name or Path(handle.path).name
            reply = httpx.post(
                f"{target_url}gradio_api/upload",
                files={"files": (name, counter)},  # pyright: ignore[reportArgumentType]
                headers=dict(here),
                timeout=120,
            )
            reply.raise_for_status()
    except httpx.HTTPStatusError as error:
        taken = str(error.request.url).startswith(target_url)  # a place that is paused meanwhile has no route
        if error.response.status_code in (403, 404, 410) and not taken:
            raise _gone(handle) from None
        raise UnavailableError(
            f"the file could not be passed on (HTTP {error.response.status_code})"
        ) from None
    except httpx.HTTPError as error:
        raise UnavailableError(f"the file could not be passed on ({type(error).__name__})") from None
    return reply.json()[0], counter.size


@contextmanager
def _open(handle: MediaHandle, source: Place | None, headers: Mapping[str, str]) -> Iterator[Any]:
    if _is_url(handle) and source is not None:
        with httpx.stream("GET", str(handle.url), headers=dict(headers), timeout=60) as reply:
            reply.raise_for_status()
            yield _Chunks(reply.iter_bytes(CHUNK))
        return
    try:
        stream: IO[bytes] = Path(handle.path).open("rb")  # noqa: SIM115 - closed below
    except OSError:
        raise _gone(handle) from None
    with stream:
        yield stream


class _Chunks:
    """A response body that can be read like a file, so that no video lies in memory whole."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes; b'' at the end."""
        while size < 0 or len(self._rest) < size:
            part = next(self._parts, None)
            if part is None:
                break
            self._rest += part
        out, self._rest = (self._rest, b"") if size < 0 else (self._rest[:size], self._rest[size:])
        return out


class _Counter:
    """Counts what is read through it."""

    stream: Any = None

    def __init__(self) -> None:
        self.size = 0

    def read(self, size: int = -1) -> bytes:
        """Read on, and count."""
        data = self.stream.read(size)
        self.size += len(data)
        return data
