"""A mode's pulse: many jobs listen, one asks."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from common.run import pulse
from common.run.pulse import Pulse


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", -1.0)


def test_a_mode_is_lost_when_it_has_twice_not_answered() -> None:
    beating = Pulse()
    assert not beating.lost(lambda: False)
    assert beating.lost(lambda: False)


def test_an_answer_or_an_event_is_life() -> None:
    beating = Pulse()
    for sign in (lambda: beating.lost(lambda: True), beating.beat):
        assert not beating.lost(lambda: False)
        sign()
        assert not beating.lost(lambda: False)
        beating.beat()


def test_nobody_asks_a_mode_that_was_just_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", 60.0)
    asked: list[int] = []
    assert not Pulse().lost(lambda: bool(asked.append(1)))
    assert not asked


def test_one_job_asks_for_all_and_the_others_do_not_wait() -> None:
    beating, asking, answer = Pulse(), threading.Event(), threading.Event()
    asked: list[int] = []

    def slow() -> bool:
        asked.append(1)
        asking.set()
        return answer.wait(30)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(beating.lost, slow)
        assert asking.wait(30)
        assert not any(beating.lost(slow) for _ in range(100))
        answer.set()
        assert not first.result(30)
    assert asked == [1]


def test_the_jobs_of_one_place_share_one_pulse() -> None:
    assert pulse.of("http://a.example/") is pulse.of("http://a.example/")
    assert pulse.of("http://a.example/") is not pulse.of("http://b.example/")
