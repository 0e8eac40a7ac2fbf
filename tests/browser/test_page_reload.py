"""A reload loses nothing that was typed, chosen or made."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import expect

PROMPT = "a red circle moving right on a black background"


def ready(page: Any) -> None:
    expect(page.locator(".nav [data-page=t2v]")).not_to_have_class(re.compile(r"\boff\b"))


def test_a_reload_keeps_what_was_typed_chosen_and_made(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel, generation = page.locator(".page-t2v"), page.locator(".studio-header .generation input")
    preset = page.locator(".studio-header .preset label.selected")
    model, prompt = panel.get_by_label("Model").first, panel.locator(".prompt textarea")
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    ready(page)
    generation.click()
    page.get_by_role("option", name="Wan 2.1").click()
    expect(model).to_have_value("Wan 2.1 T2V-14B")
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(panel.locator(".label-card")).to_contain_text("24 steps")
    prompt.fill(PROMPT)
    panel.locator(".actions button.primary").click()
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(page.locator(".page-gallery figcaption")).to_have_count(1)

    page.reload()
    assert not asked, "nothing runs, and leaving asks all the same"
    expect(prompt).to_have_value(PROMPT)
    expect(preset).to_have_text("Quality")
    expect(generation).to_have_value("Wan 2.1")
    expect(model).to_have_value("Wan 2.1 T2V-14B")
    expect(panel.locator(".label-card")).to_contain_text("24 steps")
    page.locator(".nav [data-page=gallery]").click()
    expect(page.locator(".page-gallery figcaption")).to_contain_text([f"T2V {PROMPT}"])
    page.wait_for_function("() => document.querySelector('.page-gallery video').readyState >= 2")
    expect(page.locator(".page-gallery [data-again]")).to_be_visible()
