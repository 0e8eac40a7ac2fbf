"""One Chromium for each file of browser tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect, sync_playwright

from tests import tools

expect.set_options(timeout=120_000)  # the first job loads the model, on a busy machine too


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless; without Chromium the tests fail rather than pass unseen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=tools.chromium(), args=["--no-sandbox"])
        yield browser
        browser.close()
