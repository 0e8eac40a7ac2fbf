"""A stand-in for a server of the chat API, which answers well, badly, slowly or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

GOOD = (
    "A red fox trots through deep fresh snow at dawn, breath steaming; slow tracking shot, soft pink light."
)


class Chat(BaseHTTPRequestHandler):
    """What it does is `server.does`; what it was asked is in `server.asked`, its headers in `server.headers_seen`."""

    protocol_version = "HTTP/1.0"

    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.asked.append(json.loads(body))
        server.headers_seen.append(dict(self.headers))
        does = server.does
        if isinstance(does, int):
            self._head(does, "application/json")
            self.wfile.write(b'{"error": "no"}')
        elif does == "html":
            self._head(200, "text/html")
            self.wfile.write(b"<html><h1>Sign in</h1></html>")
        elif does == "garbage":
            self._head(200, "text/event-stream")
            self.wfile.write(b"data: {nonsense\n\n")
        elif does == "shape":
            self._head(200, "text/event-stream")
            self.wfile.write(b'data: {"choices": "none"}\n\n')
        elif does == "silent":
            server.gone.wait(30)
        elif does == "drip":
            self._head(200, "text/event-stream")
            self._forever("a ", 0.05)
        elif does == "huge":
            self._head(200, "text/event-stream")
            self._forever("word " * 1000, 0)
        else:
            self._head(200, "text/event-stream")
            for word in (does or GOOD).split(" "):
                self._say(f"{word} ")
            self.wfile.write(b"data: [DONE]\n\n")

    def _forever(self, text: str, pause: float) -> None:
        server: Any = self.server
        try:
            while not server.gone.is_set():
                self._say(text)
                time.sleep(pause)
        except OSError:
            server.left.set()

    def _head(self, status: int, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()

    def _say(self, text: str) -> None:
        part = {
            "id": "1",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "tiny",
            "system_fingerprint": "",
            "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}}],
        }
        self.wfile.write(b"data: " + json.dumps(part).encode() + b"\n\n")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Any]:
    """The server; `url` is what WAN_ENHANCE_URL takes, `left` is set once somebody hung up on it."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Chat)
    server.does, server.asked, server.headers_seen = None, [], []
    server.gone, server.left = threading.Event(), threading.Event()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.gone.set()
        server.shutdown()
        server.server_close()
