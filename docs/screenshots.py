"""Takes the README's pictures of a running Studio: `python -m docs.screenshots http://127.0.0.1:7860`."""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests import tools

IMAGES = Path(__file__).parent / "images"
PROMPT = "a red circle moving right on a black background"
WAIT = 180_000
READY = ".nav [data-page=t2v].here:not(.off)"


def shoot(page: Page, name: str) -> None:
    """One picture, from the top of the page."""
    page.evaluate("window.scrollTo({top: 0})")
    page.wait_for_timeout(1200)
    page.screenshot(path=str(IMAGES / f"{name}.png"))


def walk(page: Page, url: str) -> None:
    """Text to Video, then its result sent on to Image to Video, then the gallery and the settings."""
    page.goto(url)
    page.wait_for_selector(READY)
    page.click(".studio-header .preset label:has-text('Quality')")
    page.fill(".page-t2v .prompt textarea", PROMPT)
    page.click(".page-t2v .actions button:has-text('Generate')")
    page.wait_for_selector(".page-t2v .screen .live", timeout=WAIT)
    shoot(page, "t2v-preview")
    page.wait_for_selector(".page-t2v .progress.done", timeout=WAIT)
    shoot(page, "t2v")
    page.click(".page-t2v button.send")
    page.click("#send-menu [data-send=i2v-image-last]")
    page.wait_for_selector(".nav [data-page=i2v].here")
    page.fill(".page-i2v .prompt textarea", PROMPT.replace("right", "left"))
    page.click(".page-i2v .actions button:has-text('Generate')")
    page.wait_for_selector(".page-i2v .progress.done", timeout=WAIT)
    shoot(page, "i2v")
    performance(page)
    example(page, "s2v")
    page.click(".nav [data-page=t2v]")  # whose menu has both
    page.click(".studio-header .generation input")
    page.click("[role=option]:has-text('Wan 2.1')")
    page.wait_for_selector(".nav [data-page=vace]:not(.off)")
    drafts(page)
    example(page, "flf2v")
    example(page, "vace")
    for name in ("gallery", "queue", "settings"):
        page.click(f".nav [data-page={name}]")
        shoot(page, name)


def drafts(page: Page) -> None:
    """Cheap clips side by side, of which one may be made in Quality."""
    page.click(".nav [data-page=t2v]")
    page.click(".page-t2v .variations button")
    page.click(".page-t2v .variations-go button:has-text('drafts')")
    page.wait_for_selector(".page-t2v .batch-head:has-text('4 done')", timeout=WAIT)
    page.evaluate("document.querySelector('.page-t2v .variations').scrollIntoView({block: 'end'})")
    page.wait_for_timeout(1200)
    page.screenshot(path=str(IMAGES / "drafts.png"))
    page.click(".page-t2v .batch-head button:has-text('Clear')")


def example(page: Page, mode: str) -> None:
    """A mode with its first example and what becomes of it."""
    page.click(f".nav [data-page={mode}]")
    page.locator(f".page-{mode} .examples button:visible").first.click()
    page.wait_for_timeout(2500)
    page.click(f".page-{mode} .actions button:has-text('Generate')")
    page.wait_for_selector(f".page-{mode} .progress.done", timeout=WAIT)
    if mode == "s2v":  # it does not loop: in the middle of its first word
        page.wait_for_timeout(1200)
        page.evaluate(
            "() => { const v = document.querySelector('.page-s2v .stage video'); v.pause(); v.currentTime = 0.4; }"
        )
    shoot(page, mode)


def performance(page: Page) -> None:
    """Animate with somebody replaced, and what was read of the driving video."""
    page.click(".nav [data-page=animate]")
    page.locator(".page-animate .examples button:visible").last.click()
    page.wait_for_timeout(2500)
    page.click("#animate-prepare")
    page.wait_for_selector("#animate-mask-shown video", timeout=WAIT)
    page.click(".page-animate .actions button:has-text('Generate')")
    page.wait_for_selector(".page-animate .progress.done", timeout=WAIT)
    shoot(page, "animate")
    page.set_viewport_size({"width": 1360, "height": 1800})  # all of it at once
    page.wait_for_timeout(1200)
    page.locator("#animate-outputs").screenshot(path=str(IMAGES / "animate-outputs.png"))
    page.set_viewport_size({"width": 1360, "height": 900})


def speech(page: Page) -> None:
    """Speech to Video on a phone, as long as its sound."""
    page.evaluate("window.wanStudio.go('s2v')")
    page.locator(".page-s2v .examples button:visible").first.click()
    page.wait_for_timeout(2500)
    page.locator("#s2v-audio").scroll_into_view_if_needed()
    page.evaluate("window.scrollBy({top: 300})")
    page.wait_for_timeout(1200)
    page.screenshot(path=str(IMAGES / "s2v-phone.png"))


def main(url: str) -> None:
    """All pictures, into docs/images."""
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=tools.chromium(), args=["--no-sandbox"])
        walk(browser.new_page(viewport={"width": 1360, "height": 900}), url)
        phone = browser.new_page(viewport={"width": 390, "height": 844})
        phone.goto(url)
        phone.wait_for_selector(READY, state="attached")
        shoot(phone, "phone")
        speech(phone)
        light = browser.new_page(viewport={"width": 1360, "height": 900})
        light.goto(f"{url}?__theme=light")
        light.wait_for_selector(READY)
        shoot(light, "light")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860/")
