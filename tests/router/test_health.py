"""The watcher: a place that fails is asked again, and comes back by itself."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from common.contract import CONTRACT_VERSION, Backend, Manifest
from router.federation import Place, parse
from router.health import Status, Watcher, ask


def manifest(mode: str = "t2v", contract: int = CONTRACT_VERSION) -> Manifest:
    return Manifest(
        contract=contract, git_sha="x", mode=mode, checkpoints=[], default_checkpoint="", weights="nano",
        backend=Backend(), presets=["fast"], fields={}, loaded=[], cache_bytes=0, versions={},
    )  # fmt: skip


def until(condition, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        time.sleep(0.01)


def test_a_mode_that_is_down_comes_back_by_itself_and_failover_prefers_the_first() -> None:
    up: set[str] = {"http://b/"}

    def fake(place: Place) -> Status:
        return Status(place, "ready" if place.where in up else "down", "", manifest())

    watcher = Watcher(
        parse('{"t2v": ["http://a", "http://b"]}'), probe=fake, ready_seconds=0.02, retry_seconds=0.02
    )
    watcher.start()
    try:
        assert watcher.wait_asked(5), "every place is asked once at the start"
        until(lambda: [s.place.where for s in watcher.ready("t2v")] == ["http://b/"])
        up.add("http://a/")
        until(lambda: [s.place.where for s in watcher.ready("t2v")] == ["http://a/", "http://b/"])
        up.clear()
        until(lambda: (s := watcher.status("t2v")) is not None and s.state == "down")
        assert watcher.status("vace") is None
    finally:
        watcher.stop()


class Odd(BaseHTTPRequestHandler):
    body = b""

    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<html>", "answers, but not as a Wan Studio mode"),
        (b"{}", "answers, but not as a Wan Studio mode"),
        (b'{"data": [{"contract": 1}]}', "answers, but not as a Wan Studio mode"),
        (
            json.dumps({"data": [manifest(contract=9).model_dump()]}).encode(),
            "speaks contract 9, this Studio 1",
        ),
        (
            json.dumps({"data": [manifest("i2v").model_dump()]}).encode(),
            "is a i2v Space; mend WAN_FEDERATION",
        ),
    ],
)
def test_who_does_not_fit_is_skewed_and_says_why(body: bytes, text: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), type("Answer", (Odd,), {"body": body}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    status = ask(Place("t2v", f"http://127.0.0.1:{server.server_port}/"))
    server.shutdown()
    server.server_close()
    assert status.state == "skewed" and text in status.text


def test_nothing_there_is_a_sentence_and_not_an_exception() -> None:
    status = ask(Place("t2v", "http://127.0.0.1:9/"))
    assert status.state == "down" and "cannot be reached" in status.text
