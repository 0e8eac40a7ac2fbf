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

    def fake(place: Place, known: Status | None) -> Status:
        return Status(place, "ready" if place.where in up else "down", "", manifest())

    watcher = Watcher(parse('{"t2v": ["http://a", "http://b"]}'), probe=fake, pause=lambda *_: 0.02)
    watcher.look()
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
            f"speaks contract 9, this Studio {CONTRACT_VERSION}",
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


def away(place: Place, watcher: Watcher) -> Status:
    watcher.note(Status(place, "down", "does not answer", missed=True))
    status = watcher.status("t2v")
    assert status is not None
    return status


def test_one_missed_question_shuts_nobody_out_and_two_do() -> None:
    watcher = Watcher(parse('{"t2v": ["http://a"]}'))
    (place,) = watcher.federation["t2v"]
    watcher.note(Status(place, "ready", "", manifest(), "http://a/"))
    assert away(place, watcher).state == "ready"
    watcher.note(Status(place, "ready", "", manifest(), "http://a/"))
    assert away(place, watcher).state == "ready", "two misses, but not in a row"
    down = away(place, watcher)
    assert down.state == "down"
    assert down.manifest is not None and down.url == "http://a/", "what it carries is known all the same"


def test_a_place_whose_job_talks_is_not_down_until_the_job_fails() -> None:
    watcher = Watcher(parse('{"t2v": ["http://a"]}'))
    (place,) = watcher.federation["t2v"]
    watcher.note(Status(place, "ready", "", manifest(), "http://a/"))
    watcher.heard(place)
    assert [away(place, watcher).state for _ in range(5)] == ["ready"] * 5
    watcher.doubt(place)
    assert away(place, watcher).state == "down"


def test_a_place_that_says_itself_that_it_is_away_is_believed_at_once() -> None:
    watcher = Watcher(parse('{"t2v": ["ada/wan-t2v"]}'))
    (place,) = watcher.federation["t2v"]
    watcher.note(Status(place, "ready", "", manifest(), "http://a/"))
    watcher.heard(place)
    watcher.note(Status(place, "building", "is being built; it will appear by itself"))
    status = watcher.status("t2v")
    assert status is not None and status.state == "building"
