"""Small things of the page: keys, focus, what is cut or wrapped, and no black before a video."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

PROMPT = "a red circle moving right on a black background"


def test_ctrl_enter_generates(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    prompt = page.locator(".prompt textarea")
    prompt.fill(PROMPT)
    prompt.press("Control+Enter")
    expect(page.locator(".progress.done")).to_be_visible()
    expect(prompt).to_have_value(PROMPT)


def test_ctrl_enter_generates_in_the_open_panel_alone(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}#i2v")
    page.locator(".page-i2v .prompt textarea").press("Control+Enter")
    expect(page.locator(".page-i2v .screen .error")).to_be_visible()  # it has no picture
    expect(page.locator(".page-t2v .screen.empty")).to_be_attached()


def test_the_last_preview_stays_until_the_video_can_be_seen(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    held: list[Any] = []
    page.route("**/*.mp4", lambda route: held.append(route), times=1)
    page.locator(".prompt textarea").fill(PROMPT)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_be_visible()
    preview = page.locator(".screen.done img.live")
    expect(preview).to_be_visible()
    expect(page.locator(".screen .tag")).to_have_count(0)
    held.pop().continue_()
    expect(preview).to_be_hidden()
    assert page.locator(".result-video video").evaluate("video => video.readyState") >= 2


def test_focus_shows_on_a_slider(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    page.get_by_label("number input for Duration").focus()
    page.keyboard.press("Tab")
    slider = page.get_by_label("range slider for Duration")
    expect(slider).to_be_focused()
    expect(slider).to_have_css("outline-style", "solid")


def test_a_seed_of_ten_digits_is_not_cut(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    page.get_by_role("button", name="Advanced").click()
    seed = page.get_by_label("number input for Seed")
    seed.fill("2147483647")
    whole = "e => e.scrollWidth <= e.clientWidth && e.getBoundingClientRect().right"
    right = seed.evaluate(whole)
    box = page.locator(".block.seed").bounding_box()
    assert right and right <= box["x"] + box["width"]
    assert page.locator(".block.seed").evaluate("e => e.scrollWidth <= e.clientWidth"), "something sticks out"


def test_facts_of_a_result_are_not_broken_between_number_and_unit(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/", (390, 844))
    page.locator(".prompt textarea").fill(PROMPT)
    page.get_by_role("button", name="Generate", exact=True).click()
    facts = page.locator(".result .fact")
    expect(facts.last).to_contain_text("made in")
    for fact in facts.all():
        assert fact.evaluate("e => e.getClientRects().length") == 1, fact.inner_text()


def test_one_heading_of_the_first_rank_in_the_studio(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    expect(page.get_by_role("heading", level=1)).to_have_text("Wan Studio")
