"""A Hub on loopback that serves local folders as model repositories, to the real huggingface_hub."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SHA = "1" * 40


class ModelHub:
    """`with ModelHub({"owner/name": folder}) as hub:` serves `hub.url`; `hub.asked` lists the paths.

    A file whose path ends in `slow` comes in two halves, the second once `hub.go` is set; `hub.half` says that the
    first is out. With a `refused` token every question is answered like one with a wrong token.
    """

    def __init__(self, repos: dict[str, Path]) -> None:
        self.repos = repos
        self.asked: list[str] = []
        self.slow = ""
        self.half, self.go = threading.Event(), threading.Event()
        self.refused = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ModelHub:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _files(self, repo: str) -> dict[str, Path]:
        root = self.repos[repo]
        found = [root, *(d for d in root.iterdir() if d.is_dir())]
        return {f.relative_to(root).as_posix(): f for d in found for f in d.iterdir() if f.is_file()}

    def _find(self, path: str) -> tuple[int, dict[str, str], bytes]:
        none = {"X-Error-Code": "RepoNotFound"}
        if match := re.match(r"/api/models/([^/]+/[^/]+)(/revision/[^/]+)?$", path):
            repo = match[1]
            if repo not in self.repos:
                return 404, none, b"{}"
            files = [{"rfilename": n, "size": f.stat().st_size} for n, f in self._files(repo).items()]
            body = {"id": repo, "sha": SHA, "siblings": files, "private": False, "tags": [], "downloads": 0}
            return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()
        if match := re.match(r"/api/models/([^/]+/[^/]+)/tree/", path):
            entries = [
                {"type": "file", "path": n, "size": f.stat().st_size, "oid": SHA}
                for n, f in self._files(match[1]).items()
            ]
            return 200, {"Content-Type": "application/json"}, json.dumps(entries).encode()
        if match := re.match(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)$", path):
            repo, name = match[1], match[2]
            if repo not in self.repos:
                return 404, none, b""
            file = self._files(repo).get(name)
            if file is None:
                return 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA}, b""
            data = file.read_bytes()
            etag = hashlib.sha256(data).hexdigest()
            return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": SHA}, data
        return 404, {}, b""

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                hub.asked.append(path)
                status, headers, body = hub._find(path)
                if hub.refused:
                    message = "Invalid credentials in Authorization header"
                    status, headers, body = 401, {"X-Error-Message": message}, b"{}"
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "GET":
                    return
                if hub.slow and path.endswith(hub.slow):
                    self.wfile.write(body[: len(body) // 2])
                    self.wfile.flush()
                    hub.half.set()
                    hub.go.wait(60)
                    body = body[len(body) // 2 :]
                with suppress(OSError):  # who asked has gone
                    self.wfile.write(body)

            do_HEAD = do_GET

            def log_message(self, *_: Any) -> None:
                return

        return Handler
