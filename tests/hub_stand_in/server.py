"""The HTTP side of the stand-in Hub: accounts, faults on demand, a log of every request."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlparse

from tests.hub_stand_in.repos import Model, Repo
from tests.hub_stand_in.routes import answer
from tests.hub_stand_in.wire import Call, Reply


@dataclass
class Account:
    """Who a token belongs to and what it may do."""

    name: str
    role: str = "write"
    pro: bool = True
    orgs: tuple[str, ...] = ()
    scoped: dict[str, list[str]] | None = None
    """Permissions by entity, of a fine-grained token."""


@dataclass
class Fault:
    """Answer `status` to the next `times` matching requests, or run `before`/`after` around them."""

    method: str
    path: str
    status: int | None = None
    times: int = 1
    message: str = "stand-in fault"
    headers: dict[str, str] = field(default_factory=dict)
    before: Callable[[], None] | None = None
    drop_after: bool = False


class Hub:
    """A running stand-in. `repos` by id, `requests` as (method, path), `faults` to provoke."""

    def __init__(self) -> None:
        self.accounts = {"hf_write": Account("ada"), "hf_read": Account("ada", role="read")}
        self.repos: dict[str, Repo] = {}
        self.models: dict[str, Model] = {}
        self.lfs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[Fault] = []
        self.outcomes: dict[str, str] = {}
        self.hosts: dict[str, str] = {}
        self.quota: dict[str, Any] = {"base": 2400, "current": 1800, "resetsAt": None, "overquotaUsed": 0}
        self.machines: dict[str, list[tuple[str, str, float, str | None]]] = {
            "spaces": [
                ("cpu-basic", "16 GB", 0, None), ("zero-a10g", "", 0, "A10G"), ("t4-small", "15 GB", 0.4, "T4"),
                ("l4x1", "30 GB", 0.8, "L4"), ("l4x4", "186 GB", 3.8, "L4"), ("l40sx1", "62 GB", 1.8, "L40S"),
                ("a100-large", "142 GB", 2.5, "A100"), ("gpu9000", "1 TB", 9, "9000"),
            ],
            "jobs": [("h200", "256 GB", 5, "H200"), ("l40sx1", "62 GB", 1.8, "L40S")],
        }  # fmt: skip
        self.lock = threading.RLock()
        self.url = ""

    def writes(self) -> list[tuple[str, str]]:
        """Requests so far that may have changed something."""
        quiet = ("/preupload/", "/api/validate-yaml", "/paths-info/", "/objects/batch")
        return [
            (m, p) for m, p in self.requests if m != "GET" and m != "HEAD" and not any(q in p for q in quiet)
        ]

    def take_fault(self, method: str, path: str) -> Fault | None:
        """The first armed fault for this request."""
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        """Listen on a free loopback port until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # header and body in one packet: two of them cost 40 ms each time

        def log_message(self, format: str, *args: object) -> None:
            """Quiet: `hub.requests` is the log."""

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else b""
            url = urlparse(self.path)
            path, query = unquote(url.path), parse_qs(url.query)
            with hub.lock:
                hub.requests.append((self.command, path))
                fault = hub.take_fault(self.command, path)
            if fault and fault.before:
                fault.before()
            if fault and fault.status:
                self.reply(Reply(fault.status, {"error": fault.message}, fault.headers))
                return
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            call = Call(self.command, path, query, body, hub.accounts.get(token), bool(token), hub.url)
            with hub.lock:
                reply = answer(hub, call)
            if fault and fault.drop_after:
                self.close_connection = True
                self.connection.close()
                return
            self.reply(reply)

        def reply(self, reply: Reply) -> None:
            data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(data)))
            if reply.status >= 400 and isinstance(reply.body, dict):
                self.send_header("X-Error-Message", str(reply.body.get("error", "")))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_one

    return Handler
