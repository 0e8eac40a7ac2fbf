"""The one gate for files: whatever enters an app is an upload, a result of this federation, or refused.

An upload lies in this app's cache under the hash of its content, a result under a random name, and what was prepared
of media under a hash of those and of what was asked: who can name one has had it. A URL is fetched and becomes an
upload, unless it is a result of one of our own places; those stay where they are.
Nothing else on this machine can be named.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import mimetypes
import secrets
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import httpx
import safehttpx

from common import cache
from common.budgets import BUDGETS
from common.errors import MediaError, StudioError, disk_error

FILE_ROUTE = "/gradio_api/file="
REDIRECTS = 3
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
RULE = "must be an upload or a result of this Studio"
asking: ContextVar[str] = ContextVar("asking", default="")
"""The secret that the page shows which asks now; empty for a program, and for a page outside the Studio."""

Ours = Callable[[str], bool]
"""Whether a URL is that of a result which another app of this federation serves."""


class Gate:
    """What one app lets in. `ours` knows the results of the federation's other apps; a mode Space has none."""

    fetches = True
    """Whether a file at a public address is fetched."""

    def __init__(self, ours: Ours = lambda url: False) -> None:
        self.ours = ours

    def may(self, path: str) -> bool:
        """Whether who asks now may name this file, a path of the cache or a URL of `ours`."""
        return True

    def brought(self, path: str) -> None:
        """Who asks now has brought this file."""

    async def values(self, value: Any, field: str) -> Any:
        """An input as Gradio was sent it, with every file in it admitted (dictionaries that name a path).

        Raises MediaError for a file that is neither an upload nor a result of ours.
        """
        if isinstance(value, dict):
            if "path" in value or value.get("meta") == {"_type": "gradio.FileData"}:
                return await self.admit(value, field)
            return {key: await self.values(item, field) for key, item in value.items()}
        if isinstance(value, list):
            return [await self.values(item, field) for item in value]
        return value

    async def admit(self, file: dict[str, Any], field: str) -> dict[str, Any]:
        """One FileData, whose path is from now on a file of this app's cache or a URL of the federation."""
        if file.get("path") is None and file.get("url") is None:
            return file  # an empty slot
        path = file.get("path") or file.get("url")
        if not isinstance(path, str) or not path:
            raise MediaError(field, RULE, hint="upload the file itself")
        # What else a caller says of a file is found out from the file itself.
        file = {name: file[name] for name in ("orig_name", "mime_type", "size", "is_stream") if name in file}
        kept = {"url": None, "meta": {"_type": "gradio.FileData"}}
        if path.startswith("data:"):
            return {**file, **kept, "path": self._new(_unpacked(path, field))}
        if not path.startswith(("http://", "https://")):
            return {**file, **kept, "path": self._own(path, field)}
        local = _named_by(path)
        if self.ours(path) and not (local and local.is_file()):
            if not self.may(path):
                raise _expired(field)
            return {**file, **kept, "path": path, "url": path}
        if local is not None:
            return {**file, **kept, "path": self._own(str(local), field)}
        if not self.fetches:
            raise MediaError(field, RULE, hint="upload the file itself")
        return {**file, **kept, "path": self._new(await fetched(path, field))}

    def _own(self, path: str, field: str) -> str:
        file = _inside(path)
        if file is not None and not self.may(str(file)):
            raise _expired(field)
        return str(own_file(path, field))

    def _new(self, file: Path) -> str:
        self.brought(str(file))
        return str(file)


def own_file(path: str, field: str) -> Path:
    """A file inside this app's cache; MediaError for any other, whether it exists or not."""
    file = _inside(path)
    if file is None:
        raise MediaError(field, RULE, hint="upload the file itself")
    if not file.is_file():
        raise _expired(field)
    cache.used(file)
    return file


def _expired(field: str) -> MediaError:
    return MediaError(field, "has expired here", hint="upload it again, or make it again")


def _inside(path: str) -> Path | None:
    """Where a path really leads, if that is inside the cache. Hidden names are files that are written just now."""
    try:
        file = Path(path).resolve()
        parts = file.relative_to(cache.root()).parts
        file.lstat()  # too long a name is found out here
    except FileNotFoundError:
        pass
    except (OSError, ValueError, RuntimeError):  # elsewhere, a NUL, a loop of links
        return None
    return None if any(part.startswith(".") for part in parts) or not parts else file


def _named_by(url: str) -> Path | None:
    """The path in this app's own cache that a URL of its file route names, whatever address it came by."""
    try:
        _, route, name = urlsplit(url).path.partition(FILE_ROUTE)
    except ValueError:
        return None
    return _inside(unquote(name)) if route else None


def _unpacked(data: str, field: str) -> Path:
    """A file out of a data URL, as some MCP clients send them."""
    head, _, body = data.partition(",")
    if len(body) * 3 // 4 > BUDGETS.image_bytes:
        raise _too_large(field, BUDGETS.image_bytes)
    try:
        content = base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content or not head.endswith(";base64"):
        raise MediaError(field, "is not a data URL in base64", hint="upload the file itself")
    kind = head.removeprefix("data:").partition(";")[0]
    name = "file" + (mimetypes.guess_extension(kind) or "")
    return _kept(hashlib.sha256(content).hexdigest(), name, content)


def _kept(folder: str, name: str, content: bytes) -> Path:
    path = cache.root() / folder / name
    with cache.whole(path) as part:
        part.write_bytes(content)
    return path


def public(host: str) -> bool:
    """Whether a host may be fetched from; names are resolved later, and looked at again by what they mean."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith((".local", ".localhost", ".internal", ".svc"))


async def fetched(url: str, field: str) -> Path:
    """A public URL's file in the cache. Never asks a private address, never takes more than one upload may be.

    Gradio's own download reads a body of any size into memory.
    """
    try:
        name = Path(unquote(urlsplit(url).path)).name
        name = "".join(c for c in name if c.isalnum() or c in "._-").lstrip(".")[-100:] or "file"
        path, size = cache.root() / secrets.token_hex(16) / name, 0
        with cache.whole(path) as part, part.open("wb") as file:
            async for piece in _body(url, field):
                size += file.write(piece)
                if size > BUDGETS.upload_bytes:
                    raise _too_large(field, BUDGETS.upload_bytes)
        return path
    except StudioError:
        raise
    except Exception as error:  # httpx's errors, ValueError for a private address, IDNA's, the system's
        if isinstance(error, OSError) and (full := disk_error(error)) is not None:
            raise full from None
        raise MediaError(
            field, f"could not be fetched ({type(error).__name__})", hint="upload the file itself"
        ) from None


async def _body(url: str, field: str) -> AsyncIterator[bytes]:
    for _ in range(REDIRECTS + 1):
        if not public(host := urlsplit(url).hostname or ""):
            raise MediaError(field, "must not lie on a private address", hint="upload the file itself")
        transport = safehttpx.AsyncSecureTransport(await safehttpx.async_validate_url(host))
        async with (
            httpx.AsyncClient(transport=transport, timeout=TIMEOUT) as client,
            client.stream("GET", url, follow_redirects=False) as reply,
        ):
            if reply.is_redirect:
                url = urljoin(url, reply.headers["location"])
                continue
            reply.raise_for_status()
            async for piece in reply.aiter_bytes():
                yield piece
            return
    raise MediaError(field, "is redirected too often", hint="upload the file itself")


def _too_large(field: str, limit: int) -> MediaError:
    return MediaError(field, f"must be at most {limit // 1_000_000} MB", hint="try a smaller one")
