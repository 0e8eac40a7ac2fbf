"""Tells an app who has brought which file: Gradio's upload route keeps it under its content's hash, and forgets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.page.door import UPLOADS
from common.page.gate import asking
from common.run.runner import VISITOR


class Uploads:
    """ASGI middleware. `brought` is told of each file that was taken, while `asking` is who has sent it."""

    def __init__(self, app: ASGIApp, brought: Callable[[str], None]) -> None:
        self.app = app
        self.brought = brought

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].endswith(UPLOADS):
            await self.app(scope, receive, send)
            return
        asking.set(Headers(scope=scope).get(VISITOR, ""))
        taken, body = False, b""

        async def sent(message: Message) -> None:
            nonlocal taken, body
            if message["type"] == "http.response.start":
                taken = message["status"] == 200
            elif taken:
                body += message.get("body", b"")
                if not message.get("more_body"):
                    for path in _paths(body):  # before whoever sent it hears its name
                        self.brought(path)
            await send(message)

        await self.app(scope, receive, sent)


def _paths(body: bytes) -> list[str]:
    """The names that the upload route answers with."""
    found: Any = json.loads(body)
    return [path for path in found if isinstance(path, str)] if isinstance(found, list) else []
