"""One Chromium, and one Studio with pretended engines, for all browser tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from common.modes.all import MODES
from tests import studio, tools
from tests.fleet import end, free_port, start

expect.set_options(timeout=120_000)  # the first job loads the model, on a busy machine too

_SCRIPTED = (
    """() => window.wanClips && (!document.querySelector('.nav') || document.querySelector('.nav .here'))"""
)
"""The page's own scripts, and those of the Studio's sidebar, come after what a page shows."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Headless; without Chromium the tests fail rather than pass unseen."""
    with sync_playwright() as playwright:
        # A microphone that beeps once a second, and that nobody is asked for.
        microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(
            executable_path=tools.chromium(), args=["--no-sandbox", *microphone]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Studio over all modes, each with a pretended engine and also under `/<mode>/`."""
    port = free_port()
    env = {"GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("fleet"))}
    process = start(port, "--modes", *MODES, "--router", "--pause", "0.3", env=env)
    yield f"http://127.0.0.1:{port}/"
    end(process)


@pytest.fixture(scope="package")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Studio with real pipelines; another's, where WAN_TEST_STUDIO says so."""
    if given := os.environ.get("WAN_TEST_STUDIO"):
        yield given
        return
    with studio.running(tmp_path_factory.mktemp("studio"), *MODES) as url:
        yield url


@pytest.fixture
def visit(browser: Any) -> Iterator[Any]:
    """Opens a page of a new visitor; fails the test at its end when any page had a script error."""
    pages: list[Any] = []
    problems: list[str] = []

    def open_page(url: str, size: tuple[int, int] = (1440, 900)) -> Any:
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        pages.append(page)
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(url)
        expect(
            page.locator(".stage:visible, .grid:visible, .empty-page:visible, .settings:visible").first
        ).to_be_visible()
        page.wait_for_function(_SCRIPTED)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not problems
