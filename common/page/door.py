"""What an HTTP request must be before an app of ours looks at it: for this host, from its own pages, of bounded size.

A page of another site can make a browser ask an address of this machine (a name that it re-binds to 127.0.0.1, or a
plain cross-site POST). The Host and Origin headers say so.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.budgets import BUDGETS

log = logging.getLogger(__name__)

VARIABLE = "WAN_HOSTS"
UPLOADS = "/gradio_api/upload"
FOREIGN = "/gradio_api/file=http"
"""Gradio's file route would fetch any address of the internet, without a limit, for whoever asks."""


def own_names(extra: str | None = None) -> frozenset[str]:
    """The names that this machine answers to beside its addresses: its own, and those of WAN_HOSTS."""
    if extra is None:
        extra = (
            f"{os.environ.get(VARIABLE, '')},{os.environ.get('SPACE_HOST', '')}"  # a Space's own, on the Hub
        )
    name = socket.gethostname().lower()
    given = (part.strip().lower() for part in extra.split(","))
    return frozenset({"localhost", name, f"{name}.local", *given} - {""})


class Door:
    """ASGI middleware. An address can't be re-bound, so any will do; a name must be one of `names`.

    None lets every name in: a Space's visitors come by names that only the Hub knows.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str] | None) -> None:
        self.app = app
        self.names = None if names is None else frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        for header in ("host", "x-forwarded-host", "origin"):
            for value in headers.getlist(header):
                if not self._knows(value):
                    text = f"{header} {value[:100]!r} is not this Studio's; to let it in, set {VARIABLE}"
                    await PlainTextResponse(text, 403)(scope, receive, send)
                    return
        if FOREIGN in scope["path"]:
            text = "only files of this Studio are served here"
            await PlainTextResponse(text, 403)(scope, receive, send)
            return
        if scope["path"].endswith(UPLOADS):  # a file, counted where it is written
            await self._answered(scope, receive, send)
            return
        length = headers.get("content-length", "")
        if length.isdigit() and int(length) > BUDGETS.request_bytes:
            await PlainTextResponse(_too_large(), 413)(scope, receive, send)
            return
        await self._answered(scope, _counted(receive), send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As the app answers; what its routes stumble over (a missing argument, odd JSON) is a refusal in words.

        Bare, it would be a 500 without a word, a traceback in the log and a connection that is cut.
        """
        begun = bare = False

        async def sent(message: Message) -> None:
            nonlocal begun, bare
            if message["type"] == "http.response.start" and message["status"] == 500:
                bare = Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")
            if not bare:
                begun = True
                await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception as error:
            if begun:
                raise
            log.warning("%s %s could not be read: %s", scope["method"], scope["path"], type(error).__name__)
            text = (
                f"this request cannot be read ({type(error).__name__}); /gradio_api/info says what is taken"
            )
            await PlainTextResponse(text, 400)(scope, receive, send)

    def _knows(self, value: str) -> bool:
        if self.names is None:
            return True
        host = _host(value)
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return host in self.names
        return True


def _host(value: str) -> str:
    """The host of a Host or Origin header, without port and brackets; empty for what is none (`null`)."""
    try:
        return (urlsplit(value if "://" in value else f"//{value}").hostname or "").lower()
    except ValueError:
        return ""


def _too_large() -> str:
    return f"a request must be at most {BUDGETS.request_bytes // 1_000_000} MB; upload files at {UPLOADS}"


def _counted(receive: Receive) -> Receive:
    """`receive` for a body without a length: what is beyond the limit is never read."""
    size = 0

    async def counted() -> Message:
        nonlocal size
        message: dict[str, Any] = dict(await receive())
        size += len(message.get("body", b""))
        if size > BUDGETS.request_bytes:
            raise HTTPException(413, _too_large())
        return message

    return counted
