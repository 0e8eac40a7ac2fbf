"""What axe finds on every page: nothing critical or serious, in both themes, on a desk and on a phone each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from common.modes.all import MODES
from router.shell import EXTRA_PAGES
from tests.browser.hands import unfold

LOOKS = [(theme, size) for theme in ("dark", "light") for size in ((1440, 900), (390, 844))]


def grave(page: Any) -> list[str]:
    """Critical and serious violations on what shows: rule, element and what is wrong with it."""
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['html'][:120]} {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in ("critical", "serious")
        for node in rule["nodes"]
    ]


def everywhere(page: Any, opened: Callable[[], None] = lambda: None, looks: Any = LOOKS[::3]) -> list[str]:
    """The same in each look, once `opened` was called in it; by itself dark on a desk and light on a phone."""
    page.add_style_tag(content="* { transition: none !important; }")
    found = []
    for theme, (width, height) in looks:
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
        expect(page.locator(".loading")).to_have_count(0)
        opened()
        found += [f"{theme}, {width} px: {line}" for line in grave(page)]
    return found


def test_axe_studio(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    found: dict[str, list[str]] = {}
    for name in (*MODES, *EXTRA_PAGES):
        page.set_viewport_size({"width": 1440, "height": 900})
        page.evaluate("name => window.wanStudio.go(name)", name)
        expect(page.locator(f".page-{name}")).to_be_visible()
        expect(page.locator(f".nav [data-page={name}]:not(.off)")).to_be_attached()
        if name in MODES:
            unfold(page.locator(f".page-{name}"))
        found[name] = everywhere(page, looks=LOOKS)
    assert not any(found.values()), found
    for link in EXTRA_PAGES.values():  # on a phone they are icons
        expect(page.locator(".links").get_by_role("button", name=link).locator("svg")).to_be_visible()


def test_axe_while_a_job_runs_and_after_it(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill("a red circle moving right on a black background")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".screen img.live")).to_be_visible()
    running = everywhere(page)
    expect(panel.locator(".progress.done")).to_be_visible()

    def menu() -> None:
        panel.get_by_role("button", name="Send to").press("Enter")  # on a phone the sidebar is still open
        expect(page.get_by_role("menu", name="Send to")).to_be_visible()

    done = everywhere(page, menu, LOOKS)  # a window of another size closes it
    page.evaluate("window.wanStudio.go('gallery')")
    expect(page.locator(".page-gallery figure")).to_have_count(1)
    assert not (running + done + everywhere(page)), (running, done)


@pytest.mark.parametrize("mode", MODES)
def test_axe_space(visit: Any, fleet: str, mode: str) -> None:
    assert not everywhere(visit(f"{fleet}{mode}/"))
