"""VACE's steps: one after another, each a click away, summed up while closed; what is sent there is in sight."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import expect

from common.panels.base import EXAMPLES


def test_steps_open_one_after_another_and_say_what_they_hold(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}vace/")
    what, material, words = (page.locator(f".step-{key}") for key in ("what", "material", "words"))
    head = {step: step.locator(".step-head") for step in (what, material, words)}
    source, prompt = page.locator("#vace-source"), page.locator(".prompt textarea")
    expect(what.get_by_text("Extend", exact=True)).to_be_visible()
    expect(source).to_be_hidden()
    expect(prompt).to_be_hidden()
    expect(material.locator(".sum")).to_have_text("needed")
    page.get_by_role("button", name="Next: material").click()
    expect(source).to_be_visible()
    expect(what.get_by_text("Extend", exact=True)).to_be_hidden()
    expect(head[material]).to_be_focused()
    expect(head[what]).to_have_attribute("aria-expanded", "false")
    expect(what.locator(".sum")).to_have_text("Inpaint · Provide mask")
    source.locator("input[type=file]").set_input_files(str(EXAMPLES / "red-circle.mp4"))
    expect(material.locator(".sum")).to_have_text("source video · needed")
    page.get_by_role("button", name="Next: words and size").click()
    prompt.fill("a <b>blue</b> square")
    expect(words.locator(".sum")).to_have_text("a <b>blue</b> square")
    expect(source).to_be_hidden()
    for step in head.values():  # all may be open at once, and closed
        if step.get_attribute("aria-expanded") == "false":
            step.press("Enter")
    expect(source).to_be_visible()
    expect(prompt).to_be_visible()
    head[words].press("Space")
    expect(prompt).to_be_hidden()
    # An example fills closed steps all the same.
    page.locator(".examples button").locator("visible=true").first.click()
    expect(what.locator(".sum")).to_have_text("Control · Gray")
    expect(page.locator(".todo")).to_have_count(0)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_be_visible()
