"""A stand-in for ZeroGPU's device API on loopback: grants at once or after a wait, remembers calls and workers."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Call(NamedTuple):
    """One request of the `spaces` package."""

    path: str
    values: dict[str, str]


class DeviceApi:
    """`with DeviceApi() as api:` serves `api.url`; `api.calls` lists what was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.line = threading.Event()
        """While it is cleared, who asks for a GPU waits in line."""
        self.line.set()
        self.full = False
        """Whether the line ends without a GPU."""
        self._workers: dict[str, int] = {}  # task → pid
        self._tasks: dict[str, str] = {}  # token → task
        self._tokens = itertools.count()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> DeviceApi:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, path: str) -> list[dict[str, str]]:
        """The values of every call to `path`."""
        return [call.values for call in self.calls if call.path == path]

    def answer(self, path: str, values: dict[str, str]) -> Any:
        """What the platform would say."""
        self.calls.append(Call(path, values))
        if path == "/schedule":
            token = f"token-{next(self._tokens)}"
            self._tasks[token] = values["taskId"]
            pid = self._workers.get(values["taskId"])
            idle = pid is not None and _alive(pid)
            return {"idle": idle, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": token}
        if path == "/allow":
            self._workers[self._tasks[values["allowToken"]]] = int(values["pid"])
        if path == "/release" and values.get("fail", "").lower() == "true":
            # The platform kills a worker whose task failed, with everything that it had loaded.
            pid = self._workers.pop(self._tasks.get(values["allowToken"], ""), None)
            if pid is not None and _alive(pid):
                os.kill(pid, signal.SIGKILL)
        return 0.0 if path == "/queue-size" else {}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                url = urlsplit(self.path)
                if url.path == "/schedule" and not (api.line.is_set() and not api.full):
                    self._stand_in_line(dict(parse_qsl(url.query)))
                    return
                body = json.dumps(api.answer(url.path, dict(parse_qsl(url.query)))).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST

            def _stand_in_line(self, values: dict[str, str]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("X-Queuing-Reason", "node")
                self.end_headers()
                while not api.line.wait(0.5):
                    self.wfile.write(b"event: ping\n\n")
                if api.full:
                    self.wfile.write(b"event: failed\n\n")
                    return
                granted = json.dumps(api.answer("/schedule", values))
                self.wfile.write(f"event: succeeded\ndata: {granted}\n\n".encode())

            def log_message(self, *_: Any) -> None:
                return

        return Handler


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
