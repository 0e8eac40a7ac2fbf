"""What a visitor does with a page, at a script's speed."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


def typed(box: Locator, text: str) -> None:
    """Type a number and leave its box; again where the page has put the old one back.

    Gradio sets what is unfolded once more in the frames after, sooner than any visitor types.
    """
    for _ in range(20):
        box.fill(text)
        box.press("Tab")
        box.evaluate(DRAWN)
        if box.input_value() == text:
            return
    raise AssertionError(f"{text!r} does not stay in {box}")


def send(page: Page, source: str, target: str, meaning: str) -> None:
    """Send a mode's result on by the menu under it, and be on the other mode's page."""
    page.locator(f".page-{source} button.send").click()
    page.locator("#send-menu").get_by_role("group").locator(
        f"[data-target={target}]", has_text=meaning
    ).click()
    expect(page.locator("#send-menu")).to_be_hidden()
    expect(page.locator(f".page-{target}")).to_be_visible()


def unfold(scope: Page | Locator) -> None:
    """Open every step of a panel that is still closed."""
    expect(scope.locator(".actions button").locator("visible=true").first).to_be_visible()
    for step in scope.locator(".step").locator("visible=true").all():
        if step.locator(".step-head").get_attribute("aria-expanded") == "false":
            step.locator(".step-head").click()
