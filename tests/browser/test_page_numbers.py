"""Numbers out of bounds: the mode's rule is what refuses, in its words, and the page goes on."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

from common.catalog import CHECKPOINTS
from common.modes.all import MODES
from common.panels.widgets import seconds_of
from tests.browser.hands import typed

PROMPT = "a red circle moving right on a black background"
ROW = CHECKPOINTS[MODES["t2v"].checkpoints[0]]


def test_the_rule_is_told_and_the_page_goes_on(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    page.get_by_role("button", name="Advanced").click()
    frames, seconds = page.get_by_label("Frames"), page.get_by_label("number input for Duration")
    go, video = page.locator(".actions button.primary"), page.locator(".result-video video")
    page.locator(".prompt textarea").fill(PROMPT)

    def refused(number: int, where: str) -> None:
        typed(frames, str(number))
        go.click()
        rule = f"Frames must be between 1 and {ROW.max_frames}; got {number}"
        expect(page.locator(f"{where} .error")).to_contain_text(rule)
        expect(go).to_be_enabled()
        expect(go).to_have_text("Generate")
        expect(page.locator(".progress")).not_to_contain_text("Starting")
        expect(page.locator(".actions button.stop")).to_be_hidden()

    def made() -> None:
        go.click()
        expect(page.locator(".progress.done")).to_be_visible()
        expect(video).to_be_visible()

    refused(0, ".screen")
    refused(1000, ".screen")
    for text, number in (("99", ROW.max_frames), ("0", 1)):
        seconds.fill(text)
        seconds.blur()
        expect(frames).to_have_value(str(number))
        expect(seconds).to_have_value(f"{seconds_of(number, ROW.fps):g}")
    made()
    shown = video.get_attribute("src")
    refused(0, ".card")
    expect(page.locator(".card .error")).to_contain_text("the earlier video is still here")
    expect(page.locator(".screen")).to_have_count(0)
    expect(video).to_have_attribute("src", str(shown))
    frames.fill("5")
    made()
    expect(video).not_to_have_attribute("src", str(shown))
    expect(page.locator(".result")).to_contain_text(re.compile(r"\b5 frames"))


def test_the_negative_prompt_follows_the_model_until_somebody_writes_one(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}i2v/")
    page.get_by_role("button", name="Advanced").click()
    negative = page.get_by_label("Negative prompt")

    def choose(key: str) -> None:
        page.get_by_label("Model").first.click()
        page.get_by_role("option", name=CHECKPOINTS[key].name, exact=True).first.click()

    for key in ("wan2.1-i2v-14b-480p", "wan2.2-i2v-a14b", "wan2.1-i2v-14b-720p"):
        choose(key)
        expect(negative).to_have_value(CHECKPOINTS[key].negative_prompt)
    negative.fill("fog")
    choose("wan2.2-i2v-a14b")
    expect(page.get_by_label("Model").first).to_have_value("Wan 2.2 I2V-A14B (MoE)")
    page.wait_for_timeout(500)
    expect(negative).to_have_value("fog")
