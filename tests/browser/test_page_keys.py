"""Keys, the tab's title and the sound: what they do, and when they must do nothing."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

PROMPT = "a red circle moving right on a black background"
HIDE = """hidden => {
    Object.defineProperty(document, 'hidden', {configurable: true, get: () => hidden});
    document.dispatchEvent(new Event('visibilitychange'));
}"""
COUNT_TONES = """() => {
    window.tones = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...at) {
        // Gradio tries out what a browser can do, in contexts that nobody hears.
        if (this.context instanceof AudioContext) window.tones++;
        return start.apply(this, at);
    };
}"""


def begin(page: Any, *, steps: int) -> Any:
    """A job on the page of Text to Video, its first step seen."""
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(PROMPT)
    page.locator(".studio-header .preset label", has_text="Quality" if steps > 4 else "Fast").click()
    expect(panel.locator(".label-card")).to_contain_text(f"{steps} steps")
    panel.locator(".prompt textarea").press("Control+Enter")
    expect(panel.locator(".progress")).to_contain_text(re.compile(rf"Step \d+ of {steps}"))
    return panel


def test_numbers_open_pages_and_escape_asks_before_it_stops(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    here = page.locator("body")
    for key, name in (("2", "i2v"), ("8", "queue"), ("9", "gallery"), ("1", "t2v")):
        page.keyboard.press(key)
        expect(here).to_have_attribute("data-page", name)
    prompt = page.locator(".page-t2v .prompt textarea")
    prompt.press_sequentially("3 stars")
    expect(prompt).to_have_value("3 stars")
    expect(here).to_have_attribute("data-page", "t2v")
    page.locator(".page-t2v").get_by_label("Model").click()
    page.keyboard.press("5")
    page.keyboard.press("Escape")
    expect(here).to_have_attribute("data-page", "t2v")

    panel = begin(page, steps=24)
    stop, running = panel.get_by_role("button", name="Stop"), panel.locator(".progress.running")
    page.keyboard.press("Escape")  # in the prompt still
    expect(stop).not_to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    expect(page.locator(".unseen")).to_have_text("Press Escape again to stop the job")
    expect(running).to_be_visible()
    page.keyboard.press("Tab")  # thought better of it
    page.keyboard.press("Escape")
    expect(stop).to_be_focused()
    expect(running).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel.locator(".progress.stopped")).to_be_visible()
    expect(page.locator(".unseen")).to_have_text("Stopped")
    page.keyboard.press("Escape")  # and with nothing to stop it does nothing
    expect(panel.locator(".progress.stopped")).to_be_visible()


def test_title_and_sound_say_that_it_is_done_as_wished(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    page.evaluate(COUNT_TONES)
    panel = begin(page, steps=4)
    expect(page).to_have_title(re.compile(r"^\(\d+%\) Wan Studio$"))
    page.evaluate(HIDE, True)
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(page).to_have_title("✓ done Wan Studio")
    expect(page.locator(".unseen")).to_have_text("The video is done")
    page.evaluate(HIDE, False)
    expect(page).to_have_title("Wan Studio")
    assert page.evaluate("tones") == 0, "nobody has wished for a sound"

    page.evaluate("window.wanStudio.go('settings')")
    for label in ("A sound when a job is done", "Progress in the tab's title", "Keys"):
        page.get_by_label(label).click()
    assert page.evaluate("tones") == 2, "who wants it hears it at once"
    page.keyboard.press("1")
    expect(page.locator("body")).to_have_attribute("data-page", "settings")
    page.reload()
    expect(page.get_by_label("A sound when a job is done")).to_be_checked()
    expect(page.get_by_label("Keys")).not_to_be_checked()
    page.evaluate(COUNT_TONES)
    page.evaluate("window.wanStudio.go('t2v')")
    panel = begin(page, steps=4)
    expect(page).to_have_title("Wan Studio")
    expect(panel.locator(".progress.done")).to_be_visible()
    page.wait_for_function("tones === 2")
    expect(page).to_have_title("Wan Studio")


def test_what_a_browser_has_kept_may_be_anything(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    for kept in ("{", "null", "[1]", '{"sound": "yes", "keys": 0}'):
        page.evaluate("kept => localStorage.setItem('wan-studio-wishes', kept)", kept)
        assert page.evaluate("window.wanWishes.all()") == {"title": True, "sound": False, "keys": True}
