"""A stand-in for ZeroGPU's device API on loopback: grants at once or after a wait, remembers calls and workers.

It can also be as bad as a network is: refuse, be slow, and go away in the middle of an answer.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit


class Call(NamedTuple):
    """One request of the `spaces` package."""

    path: str
    values: dict[str, str]


class Refusal(NamedTuple):
    """An answer to `/schedule` that is no GPU."""

    status: int
    body: dict[str, int] | None = None
    headers: dict[str, str] | None = None


class DeviceApi:
    """`with DeviceApi() as api:` serves `api.url`; `api.calls` lists what was asked."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.line = threading.Event()
        """While it is cleared, who asks for a GPU waits in line."""
        self.line.set()
        self.full = False
        """Whether the line ends without a GPU."""
        self.refusal: Refusal | None = None
        """What is said to whoever asks for a GPU."""
        self.delay = 0.0
        """Seconds before every answer."""
        self.dropped: Counter[str] = Counter()
        """How many of the next answers to a path are not given: the call is done, and the line goes dead."""
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

    def as_usual(self) -> None:
        """An end to all that is bad."""
        self.refusal, self.delay, self.full = None, 0.0, False
        self.dropped.clear()
        self.line.set()

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
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                url = urlsplit(self.path)
                time.sleep(api.delay)
                if url.path == "/schedule" and api.refusal:
                    self._say(*api.refusal)
                    return
                if url.path == "/schedule" and not (api.line.is_set() and not api.full):
                    self._stand_in_line(dict(parse_qsl(url.query)))
                    return
                body = api.answer(url.path, dict(parse_qsl(url.query)))
                if api.dropped[url.path] > 0:
                    api.dropped[url.path] -= 1
                    self.close_connection = True
                    return
                self._say(200, body)

            do_GET = do_POST

            def _say(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
                raw = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {**(headers or {}), "Content-Type": "application/json"}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def _stand_in_line(self, values: dict[str, str]) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("X-Queuing-Reason", "node")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while not api.line.wait(0.5):
                    self._tell(b"event: ping\n\n")
                    if api.dropped["line"] > 0:
                        api.dropped["line"] -= 1
                        self.close_connection = True
                        return
                if api.full:
                    self._tell(b"event: failed\n\n")
                else:
                    granted = json.dumps(api.answer("/schedule", values))
                    self._tell(f"event: succeeded\ndata: {granted}\n\n".encode())
                self._tell(b"")

            def _tell(self, event: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

            def log_message(self, *_: Any) -> None:
                return

        return Handler


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
