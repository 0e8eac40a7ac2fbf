"""Small things of the page: keys, focus, what is cut or wrapped, and no black before a video."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.hands import typed

PROMPT = "a red circle moving right on a black background"


def test_ctrl_enter_generates(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    prompt = page.locator(".prompt textarea")
    prompt.fill(PROMPT)
    expect(page.locator(".dock .todo")).to_have_count(0)
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


def test_a_second_visitor_of_a_space_sees_the_place_in_its_line(visit: Any, fleet: str) -> None:
    pages = [visit(f"{fleet}t2v/") for _ in range(2)]
    for page, prompt in zip(pages, ("a red circle", "a blue square"), strict=True):
        page.locator(".prompt textarea").fill(prompt)
        page.get_by_role("button", name="Advanced").click()
        typed(page.get_by_label("number input for Steps"), "50")
        expect(page.locator(".dock .label-card")).to_contain_text("50 steps")
    pages[0].get_by_role("button", name="Generate", exact=True).click()
    expect(pages[0].locator(".screen img.live")).to_be_visible()
    pages[1].get_by_role("button", name="Generate", exact=True).click()
    expect(pages[1].locator(".progress-text:visible")).to_contain_text("queue: 1/1")
    for page in pages:
        page.get_by_role("button", name="Stop", exact=True).click()
        expect(page.locator(".progress.stopped")).to_be_visible()
        expect(page.locator(".progress-text:visible")).to_have_count(0)


@pytest.mark.parametrize(("where", "name"), [("", "Wan Studio"), ("t2v/", "Text to Video Wan 2.")])
def test_one_heading_of_the_first_rank(visit: Any, fleet: str, where: str, name: str) -> None:
    heading = visit(f"{fleet}{where}").get_by_role("heading", level=1)
    expect(heading).to_have_count(1)
    expect(heading).to_contain_text(name)


def test_the_heading_names_the_model_and_follows_it(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    expect(page.locator(".heading h1")).to_contain_text("Wan 2.2")
    page.get_by_label("Model").click()
    page.get_by_role("option", name="Wan 2.1 T2V-1.3B", exact=True).click()
    expect(page.locator(".heading h1")).to_contain_text("Wan 2.1 T2V-1.3B")
