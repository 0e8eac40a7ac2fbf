"""The watcher: a place that fails is asked again, and comes back by itself."""

import time

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


def test_nothing_there_is_a_sentence_and_not_an_exception() -> None:
    status = ask(Place("t2v", "http://127.0.0.1:9/"))
    assert status.state == "down" and "cannot be reached" in status.text
