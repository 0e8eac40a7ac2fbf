"""Send to's menu: by keys, by pointer and on a phone, and what it leaves out."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from common.modes.all import MODES
from tests.browser.hands import send

PROMPT = "a red circle moving right on a black background"
ONE_VIEW = """menu => { const b = menu.getBoundingClientRect();
    return b.left >= 0 && b.top >= 0 && b.right <= innerWidth && b.bottom <= innerHeight; }"""


def made(page: Any, mode: str = "t2v") -> Any:
    """A mode's panel with a result."""
    panel = page.locator(f".page-{mode}")
    panel.locator(".prompt textarea").fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    return panel


def test_the_menu_by_keys_and_what_it_leaves_out(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    opener = page.locator(".page-t2v").get_by_role("button", name="Send to")
    expect(page.locator(".page-t2v button.send")).to_be_hidden()
    made(page)
    menu, items = page.get_by_role("menu", name="Send to"), page.get_by_role("menuitem")
    opener.focus()
    page.keyboard.press("Enter")
    expect(items.first).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "true")
    assert menu.evaluate(ONE_VIEW)
    page.keyboard.press("ArrowUp")
    expect(items.last).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(items.first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("group", name=MODES["flf2v"].title).get_by_role("menuitem").first).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(opener).to_be_focused()
    expect(opener).to_have_attribute("aria-expanded", "false")
    page.keyboard.press("Enter")
    expect(items.first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".page-i2v .slot video")).to_be_visible()
    expect(page.locator(".page-i2v .heading h2")).to_be_focused()
    made(page, "i2v")
    page.locator(".page-i2v button.send").click()
    expect(page.locator('[data-send="i2v-image-last"]')).to_be_visible()
    expect(page.locator('[data-send="i2v-image-first"]')).to_be_hidden()
    page.mouse.click(5, 5)
    expect(menu).to_be_hidden()


def test_the_menu_on_a_phone_is_a_sheet_and_the_output_comes_first(visit: Any, fleet: str) -> None:
    page = visit(fleet, (390, 844))
    prompt, stage = page.locator(".page-t2v .prompt"), page.locator(".page-t2v .stage")
    top = "e => e.getBoundingClientRect().top"
    assert prompt.evaluate(top) < stage.evaluate(top), "an empty stage pushes the inputs away"
    made(page)
    assert stage.evaluate(top) < prompt.evaluate(top)
    examples = page.locator(".page-t2v .examples").locator("visible=true")
    assert prompt.evaluate(top) < examples.evaluate(top)
    page.locator(".page-t2v button.send").click()
    sheet = page.get_by_role("menu", name="Send to")
    box = sheet.bounding_box()
    assert (box["x"], box["width"], box["y"] + box["height"]) == (0, 390, 844)
    last = page.get_by_role("menuitem").last
    last.scroll_into_view_if_needed()
    expect(last).to_be_in_viewport(ratio=1)
    expect(sheet).to_be_visible()  # its own scrolling does not close it
    page.keyboard.press("Escape")
    send(page, "t2v", "animate", "Frame under the playhead")
    expect(page.locator(".page-animate .slot video")).to_be_visible()
