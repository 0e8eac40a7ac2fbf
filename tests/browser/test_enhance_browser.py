"""✨ Enhance in a browser: a proposal to accept, the original one click back, and nothing typed is lost."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from common import nano_words
from tests.browser.test_page_axe import everywhere

TYPED = "a circle"


def enhanced(page: Any, text: str = TYPED) -> Any:
    """The prompt's box, a proposal below it."""
    prompt = page.locator(".prompt textarea:visible")
    prompt.fill(text)
    button = page.get_by_role("button", name="Enhance")
    button.click()
    expect(page.locator(".proposal:visible")).to_be_visible()
    expect(button).to_have_text("✨ Enhance")
    return prompt


def test_a_proposal_is_accepted_and_the_original_one_click_back(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    prompt = enhanced(page)
    proposal = page.locator(".proposal .diff").inner_text()
    expect(page.locator(".proposal ins")).not_to_have_count(0)
    expect(prompt).to_have_value(TYPED)
    assert nano_words.unknown(proposal) == []
    page.get_by_role("button", name="Accept").click()
    expect(prompt).to_have_value(proposal)
    expect(prompt).to_be_focused()
    expect(page.locator(".proposal")).to_have_count(0)
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)
    # Edited since: Undo gives the original back, and Redo what was edited.
    prompt.fill(f"{proposal}, slowly")
    page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value(TYPED)
    page.get_by_role("button", name="Redo").click()
    expect(prompt).to_have_value(f"{proposal}, slowly")
    page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value(TYPED)
    prompt.press("Control+Enter")
    expect(page.locator(".progress.done")).to_be_visible()


def test_a_second_click_has_another_proposal_and_the_way_back_is_to_what_was_typed(
    visit: Any, fleet: str
) -> None:
    page = visit(f"{fleet}t2v/")
    prompt = enhanced(page)
    diff = page.locator(".proposal .diff")
    first = diff.inner_text()
    page.get_by_role("button", name="Enhance").click()
    expect(diff).not_to_have_text(first)
    prompt.fill(f"{TYPED} or a star")  # since it was proposed
    page.get_by_role("button", name="Accept").click()
    page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value(f"{TYPED} or a star")
    page.get_by_role("button", name="Redo").click()
    # Enhanced once more, without a word typed in between: the original stays the original.
    page.get_by_role("button", name="Enhance").click()
    expect(page.locator(".proposal")).to_contain_text("nothing to add")
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value(f"{TYPED} or a star")


def test_an_empty_prompt_is_told_and_the_keyboard_reaches_all(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    prompt = page.locator(".prompt textarea")
    prompt.focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Enhance")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".proposal")).to_contain_text("Prompt must not be empty; write a few words")
    expect(page.locator(".proposal-box[aria-live=polite]")).to_have_count(1)
    expect(page.get_by_role("button", name="Accept")).to_have_count(0)
    expect(page.get_by_role("button", name="Enhance")).to_be_enabled()
    page.get_by_role("button", name="Enhance").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Dismiss")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".proposal")).to_have_count(0)
    expect(prompt).to_be_focused()


def test_on_a_phone_and_for_a_screen_reader(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}#i2v", (390, 844))
    expect(page.locator(".page-i2v .prompt")).to_be_visible()
    prompt = page.locator(".page-i2v .prompt textarea")
    place = "e => { const [own, all] = [e, e.closest('.inputs')].map((n) => n.getBoundingClientRect()); "
    place += "return [own.top - all.top, own.left, own.width, own.height] }"
    before = prompt.evaluate(place)
    enhanced(page, "the circle")
    assert prompt.evaluate(place) == before, "the prompt moved"
    assert everywhere(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    label = page.locator(".page-i2v .prompt [data-testid=block-info]")
    ends = label.evaluate(
        "e => { const r = document.createRange(); r.selectNodeContents(e); return r.getBoundingClientRect().right }"
    )
    for name in ("Undo", "Enhance"):
        button = page.get_by_role("button", name=name).bounding_box()
        assert button and button["x"] >= ends and button["height"] >= 24
