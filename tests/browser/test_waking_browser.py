"""A sleeping mode in the sidebar: it says so, a click wakes it, and nobody is asked once the page is shut."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from playwright.sync_api import expect

from common.modes.all import MODES
from router import health, shell
from router.app import build_studio
from router.asking import Status
from router.dispatch import Studio, assumed
from router.federation import Federation, Place
from router.health import Watcher
from tests.router.conftest import serve

ASLEEP = "is asleep; choose it or press Generate to wake it"


class Sleeper:
    """T2V runs; I2V sleeps until somebody knocks, and is up when `up` is set."""

    def __init__(self) -> None:
        self.knocked, self.up, self.asked = threading.Event(), threading.Event(), 0

    def probe(self, place: Place, known: Status | None) -> Status:
        self.asked += 1
        if place.mode == "t2v" or self.up.is_set():
            return Status(place, "ready", "", assumed(MODES[place.mode]), "http://127.0.0.1:9/")
        return Status(place, "asleep", ASLEEP, url="http://127.0.0.1:9/")

    def knock(self, status: Status, token: str | None, *, restart: bool) -> None:
        self.knocked.set()


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Sleeper, Watcher]]:
    sleeper = Sleeper()
    monkeypatch.setattr(health, "knock", sleeper.knock)
    table: Federation = {"t2v": (Place("t2v", "ada/wan-t2v"),), "i2v": (Place("i2v", "ada/wan-i2v"),)}
    watcher = Watcher(table, probe=sleeper.probe, pause=lambda *_: 0.2)
    blocks = build_studio(Studio(watcher))
    app = gr.mount_gradio_app(FastAPI(), blocks, path="/", **shell.page_options())
    server, thread, url = serve(app)
    yield url, sleeper, watcher
    watcher.stop()
    server.should_exit = True
    thread.join(20)


def test_a_click_wakes_a_sleeping_mode_and_the_row_says_how_long(
    browser: Any, studio: tuple[str, Sleeper, Watcher]
) -> None:
    url, sleeper, watcher = studio
    page = browser.new_page()
    page.goto(url)
    row = page.locator(".nav [data-page=i2v]")
    expect(row).to_contain_text(ASLEEP)
    assert not sleeper.knocked.is_set()
    row.click()
    assert sleeper.knocked.wait(60)
    expect(row).to_contain_text("is waking up; that takes about a minute or two")
    sleeper.up.set()
    expect(row).not_to_have_class(re.compile(r"\boff\b"))
    page.close()
    end = threading.Event()
    for _ in range(600):
        if watcher.resting:
            break
        end.wait(0.1)
    assert watcher.resting
    asked = sleeper.asked
    end.wait(1)
    assert sleeper.asked == asked, "nobody looks, nobody is asked"
