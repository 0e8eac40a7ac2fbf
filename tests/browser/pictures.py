"""Pictures of every panel while a job runs and after it, at both sizes and themes, to be looked at.

    python -m tests.browser.pictures http://127.0.0.1:7860 FOLDER

The window is left as Generate leaves it, with Advanced open: what is not in the picture is out of sight.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import expect, sync_playwright

from common.modes.all import MODES
from router.shell import EXTRA_PAGES
from tests import tools

SIZES = {"desk": (1440, 900), "phone": (390, 844)}


def shoot(page: Any, folder: Path, name: str) -> None:
    """One picture of the window as it stands."""
    page.wait_for_timeout(700)  # smooth scrolling comes to rest
    page.screenshot(path=str(folder / f"{name}.png"))


def job(page: Any, mode: str, folder: Path, name: str) -> None:
    """A mode with its first example, from the click to the result."""
    page.evaluate("mode => window.wanStudio.go(mode)", mode)
    panel = page.locator(f".page-{mode}")
    expect(panel).to_be_visible()
    expect(page.locator(f".nav [data-page={mode}]:not(.off)")).to_be_attached()
    panel.locator(".examples button:visible").first.click()
    expect(panel.locator(".todo")).to_have_count(0)
    advanced = panel.get_by_role("button", name="Advanced")
    if "open" not in (advanced.get_attribute("class") or "").split():
        advanced.click()
    page.mouse.move(0, 0)
    panel.locator(".actions button.primary").click()
    expect(panel.locator(".screen img.live")).to_be_visible()
    shoot(page, folder, f"{name}-{mode}-running")
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(panel.locator(".screen.done")).to_be_hidden()
    shoot(page, folder, f"{name}-{mode}-done")


def main(url: str, folder: Path) -> None:
    """All of them, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=60_000)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=tools.chromium(), args=["--no-sandbox"])
        for theme in ("dark", "light"):
            for size, (width, height) in SIZES.items():
                page = browser.new_page(viewport={"width": width, "height": height})
                page.goto(f"{url}?__theme={theme}")
                expect(page.locator(".nav [data-page=t2v].here:not(.off)")).to_be_attached()
                for mode in MODES:
                    job(page, mode, folder, f"{theme}-{size}")
                for name in EXTRA_PAGES:
                    page.evaluate("name => window.wanStudio.go(name)", name)
                    shoot(page, folder, f"{theme}-{size}-{name}")
                page.close()
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
