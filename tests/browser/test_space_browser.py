"""A person at the T2V Space, with the real pipeline: type, generate, watch, stop, generate again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

PROMPT = "a red circle moving right on a black background"


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    page.set_default_timeout(120_000)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert not problems


def button(page: Any, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def open_mode(page: Any, address: str, mode: str) -> None:
    page.goto(f"{address}/{mode}/")
    expect(button(page, "Generate")).to_be_visible()
    expect(page.get_by_label("Model").first).to_be_visible()


def decoded(page: Any, at: float) -> list[int]:
    """A coarse picture of the frame shown at a time, as the browser decodes it."""
    return page.evaluate(
        """async at => {
            const video = document.querySelector('.result-video video');
            video.pause();
            const seeked = new Promise(done => video.addEventListener('seeked', done, {once: true}));
            video.currentTime = at;
            await seeked;
            const canvas = Object.assign(document.createElement('canvas'), {width: 16, height: 16});
            canvas.getContext('2d').drawImage(video, 0, 0, 16, 16);
            return Array.from(canvas.getContext('2d').getImageData(0, 0, 16, 16).data);
        }""",
        at,
    )


@pytest.mark.timeout(600)
def test_browser_type_generate_watch_stop_and_again(page: Any, address: str) -> None:
    open_mode(page, address, "t2v")
    expect(page.locator(".label-card")).to_contain_text("on this CPU")
    expect(page.locator(".todo")).to_have_text("Still needed: prompt")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    expect(page.locator(".todo")).to_have_count(0)

    where = page.locator(".stage").bounding_box()
    button(page, "Generate").click()
    expect(button(page, "Stop")).to_be_visible()
    expect(page.locator(".progress.done")).to_contain_text(re.compile(r"seed \d+ · wan2.2-t2v-a14b"))
    expect(page.locator(".result-video video")).to_be_visible()
    assert page.locator(".stage").bounding_box() == where, "the layout must not jump"
    page.wait_for_function("document.querySelector('.result-video video').readyState >= 2")
    first, last = decoded(page, 0.05), decoded(page, 0.95)
    assert max(first) > 0 and first != last, "the decoded frames must change"
    before = page.locator(".result-video video").get_attribute("src")

    page.get_by_text("Quality", exact=True).click()
    expect(page.locator(".label-card")).to_contain_text("24 steps")
    page.get_by_label("range slider for Duration (s)").fill("5.1")  # long enough to be watched and stopped
    expect(page.locator(".label-card")).to_contain_text("5.1 s")
    button(page, "Generate").click()
    expect(page.locator(".progress")).to_contain_text(re.compile(r"Step \d+ of 24"))
    expect(page.locator(".screen img.live")).to_be_visible()
    assert page.locator(".screen img.live").evaluate("i => i.naturalWidth") > 0
    assert page.locator(".stage").bounding_box() == where, "the layout must not jump"
    button(page, "Stop").click()
    expect(page.locator(".progress.stopped")).to_be_visible()
    expect(button(page, "Generate")).to_be_enabled()
    assert page.get_by_label("Prompt", exact=True).input_value() == PROMPT

    page.get_by_text("Fast", exact=True).click()
    page.get_by_label("range slider for Duration (s)").fill("1.1")
    expect(page.locator(".label-card")).to_contain_text("1.1 s")
    expect(page.locator(".label-card")).to_contain_text("4 steps")
    button(page, "Generate").click()
    expect(page.locator(".progress.done")).to_be_visible()
    assert page.locator(".result-video video").get_attribute("src") != before


def test_browser_broken_rule_shows_under_generate_and_as_the_error(page: Any, address: str) -> None:
    open_mode(page, address, "t2v")
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_text("Advanced").click()
    page.get_by_label("Frames").fill("18")
    text = "Frames must be 4k+1; got 18, try 17 or 21"
    expect(page.locator(".label-card.broken")).to_contain_text(text)
    button(page, "Generate").click()
    expect(page.locator(".screen .error")).to_contain_text(text)
    expect(button(page, "Generate")).to_be_enabled()
    assert page.get_by_label("Prompt", exact=True).input_value() == PROMPT


def test_browser_settings_follow_each_other(page: Any, address: str) -> None:
    open_mode(page, address, "t2v")
    page.get_by_text("Advanced").click()
    expect(page.get_by_label("CFG, low noise").first).to_be_visible()
    slider = page.get_by_label("range slider for Duration (s)")
    slider.fill("2")
    expect(page.get_by_label("Frames")).to_have_value("33")
    page.get_by_label("Frames").fill("17")
    expect(slider).to_have_value("1.1")
    page.get_by_label("Model").first.click()
    page.get_by_role("option", name="Wan 2.1 T2V-1.3B", exact=True).click()
    expect(page.get_by_label("CFG, low noise").first).to_be_hidden()
    expect(page.locator(".notice")).to_contain_text("Lightning unavailable for Wan 2.1 T2V-1.3B")


def test_browser_i2v_example_brings_its_picture(page: Any, address: str) -> None:
    open_mode(page, address, "i2v")
    expect(page.locator(".todo")).to_have_text("Still needed: motion prompt, source image")
    page.get_by_text("Red circle", exact=True).click()
    expect(page.locator(".todo")).to_have_count(0)
    button(page, "Generate").click()
    expect(page.locator(".progress.done")).to_be_visible()


def test_browser_phone_width_has_no_sideways_scroll_and_shows_the_output(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_mode(page, address, "t2v")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    button(page, "Generate").click()
    expect(page.locator(".progress.done")).to_be_visible()
    expect(page.locator(".stage")).to_be_in_viewport(ratio=0.9)
