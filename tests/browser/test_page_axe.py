"""What axe finds on every page: nothing critical or serious, in both themes, on a desk and on a phone."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from common.modes import MODES
from router.shell import EXTRA_PAGES

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def grave(page: Any) -> list[str]:
    """Critical and serious violations: rule, element and what is wrong with it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in ("critical", "serious")
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_studio(visit: Any, fleet: str, theme: str, size: str) -> None:
    page = visit(f"{fleet}?__theme={theme}", SIZES[size])
    expect(page.locator(".nav [data-page=t2v]:not(.off)")).to_be_attached()
    if size == "phone":
        for name in EXTRA_PAGES.values():
            button = page.locator(".links").get_by_role("button", name=name)
            expect(button.locator("svg")).to_be_visible()
    found: dict[str, list[str]] = {}
    for name in (*MODES, *EXTRA_PAGES):
        page.evaluate("name => window.wanStudio.go(name)", name)
        expect(page.locator(f".page-{name}")).to_be_visible()
        expect(page.locator(f".nav [data-page={name}]:not(.off)")).to_be_attached()
        found[name] = grave(page)
    assert not any(found.values()), found


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_while_a_job_runs_and_after_it(visit: Any, fleet: str, theme: str) -> None:
    page = visit(f"{fleet}?__theme={theme}")
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill("a red circle moving right on a black background")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".screen img.live")).to_be_visible()
    running = grave(page)
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(panel.locator(".chips")).to_be_visible()
    done = grave(page)
    page.evaluate("window.wanStudio.go('gallery')")
    expect(page.locator(".page-gallery figure")).to_have_count(1)
    assert not (running + done + grave(page)), (running, done)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("mode", MODES)
def test_axe_space(visit: Any, fleet: str, mode: str, theme: str, size: str) -> None:
    page = visit(f"{fleet}{mode}/?__theme={theme}", SIZES[size])
    assert not grave(page)
