"""How a page of the Studio is reached: by its row, its address, Back; and each mode's API from Settings."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import expect

from common.modes.all import MODES
from router.shell import short
from tests.browser.hands import DRAWN

HELD = """() => {
    const ask = window.fetch, gone = new Promise((resolve) => { window.letGo = resolve; });
    window.heldBack = 0;
    window.fetch = async (...args) => { window.heldBack++; await gone; return ask(...args); };
}"""
"""A line that brings no answer until it is let go."""


def here(page: Any, name: str) -> None:
    expect(page.locator(f".nav [data-page={name}]")).to_have_class(re.compile(r"\bhere\b"))
    expect(page.locator(f".page-{name}")).to_be_visible()


def generation(page: Any) -> Any:
    return page.locator(".studio-header .generation input")


def click(page: Any, name: str) -> None:
    page.locator(f".nav [data-page={name}]").click()


def test_back_and_forward_go_through_the_pages(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    here(page, "t2v")
    page.locator(".page-t2v .prompt textarea").fill("kept")
    for name in ("i2v", "gallery", "settings"):
        click(page, name)
        here(page, name)
    page.go_back()
    here(page, "gallery")
    page.go_back()
    page.go_back()
    here(page, "t2v")
    expect(page.locator(".page-t2v .prompt textarea")).to_have_value("kept")
    page.go_forward()
    here(page, "i2v")


@pytest.mark.parametrize("mode", ["vace", "v2v", "flf2v"])
def test_the_address_opens_a_mode_and_its_generation(visit: Any, fleet: str, mode: str) -> None:
    page = visit(f"{fleet}#{mode}")
    expect(generation(page)).to_have_value("Wan 2.1")
    here(page, mode)
    expect(page.locator(f".nav [data-page={mode}]")).not_to_have_class(re.compile(r"\boff\b"))
    click(page, "t2v")
    expect(generation(page)).to_have_value("Wan 2.2")
    expect(page.locator(".page-t2v").get_by_label("Model").first).to_have_value(re.compile("Wan 2.2"))


def test_of_two_rows_clicked_at_once_the_last_counts(visit: Any, fleet: str) -> None:
    """An impatient visitor, or a slow line: the second click comes before the first is answered."""
    page = visit(fleet)
    expect(page.locator(".nav [data-page=vace]:not(.off)")).to_be_attached()
    page.evaluate(HELD)
    click(page, "i2v")
    page.wait_for_function("window.heldBack > 0")
    click(page, "vace")
    page.evaluate("window.letGo()")
    here(page, "vace")
    expect(generation(page)).to_have_value("Wan 2.1")


@pytest.mark.parametrize("address", ["nonsense", "s2w", "%22%5D"])
def test_an_address_that_leads_nowhere_opens_the_first_mode(visit: Any, fleet: str, address: str) -> None:
    page = visit(fleet + "#" + address)
    here(page, "t2v")
    expect(generation(page)).to_have_value("Wan 2.2")


def test_a_wish_for_a_generation_greys_no_way_and_holds_wherever_it_can(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    model = page.locator(".page-i2v").get_by_label("Model").first
    expect(page.locator(".nav [data-page=i2v]")).not_to_have_class(re.compile(r"\boff\b"))
    generation(page).click()
    page.get_by_role("option", name="Wan 2.1").click()
    click(page, "i2v")
    expect(model).to_have_value(re.compile("Wan 2.1"))
    expect(generation(page)).to_be_enabled()
    generation(page).click()
    page.get_by_role("option", name="Wan 2.2").click()
    expect(model).to_have_value(re.compile("Wan 2.2"))
    row = page.locator(".nav [data-page=vace]")
    expect(row).to_contain_text("no Wan 2.2 here; runs Wan 2.1")
    assert row.locator("small").evaluate("e => e.scrollHeight <= e.clientHeight"), "the reason is cut"
    row.click()
    here(page, "vace")
    expect(generation(page)).to_have_value("Wan 2.1")
    click(page, "t2v")
    expect(generation(page)).to_have_value("Wan 2.2")


def test_a_menu_that_was_only_opened_changes_nothing(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel = page.locator(".page-t2v")
    expect(page.locator(".nav [data-page=t2v]")).not_to_have_class(re.compile(r"\boff\b"))
    panel.get_by_text("Advanced").click()
    panel.get_by_label("Frames").fill("33")
    expect(panel.get_by_label("number input for Duration (s)")).to_have_value("2.1")
    for menu in (panel.get_by_label("Model").first, generation(page)):
        menu.click()
        page.keyboard.press("Escape")
        panel.locator(".prompt textarea").click()
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(panel.locator(".label-card")).to_contain_text("24 steps")
    expect(panel.get_by_label("Frames")).to_have_value("33")
    panel.get_by_label("Model").first.click()
    page.get_by_role("option", name="Wan 2.2 TI2V-5B").first.click()
    expect(panel.get_by_label("Frames")).to_have_value("49")  # two seconds still, at 24 frames a second
    expect(panel.get_by_label("number input for Duration (s)")).to_have_value("2")


def test_settings_leads_to_the_api_of_every_mode_and_no_link_to_an_empty_one(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}#settings")
    expect(page.locator("footer")).to_be_visible()
    expect(page.locator("footer .show-api")).to_have_count(0)
    for mode in MODES:
        link = page.get_by_role("link", name=f"API of {short(mode)}", exact=True)
        expect(link).to_have_attribute("href", f"{mode}/?view=api")
    with page.expect_popup() as opened:
        page.get_by_role("link", name="API of VACE").click()
    api = opened.value
    expect(api.locator(".api-docs")).to_contain_text("API name: /generate")
    api.close()


def test_a_preset_asks_for_what_it_changes_and_no_more(visit: Any, fleet: str) -> None:
    """One request gates every panel; only the panel that is looked at asks for its label."""
    page = visit(fleet)
    expect(page.locator(".nav [data-page=t2v]:not(.off)")).to_be_attached()
    label = page.locator(".page-t2v .dock .label-card")
    expect(label).to_contain_text("4 steps")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/run/predict" in request.url else None)
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label).to_contain_text("24 steps")
    assert 1 <= len(asked) <= 8, f"{len(asked)} requests"


def test_generate_clicked_before_the_preset_has_come_back_waits_for_it(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel = page.locator(".page-t2v")
    expect(panel.locator(".dock .label-card")).to_contain_text("4 steps")
    panel.locator(".prompt textarea").fill("a red circle")
    page.evaluate(HELD)
    page.locator(".studio-header .preset label", has_text="Quality").click()
    page.wait_for_function("() => window.heldBack")
    panel.get_by_role("button", name="Generate", exact=True).click()
    page.evaluate(DRAWN)
    expect(panel.locator(".progress.waiting")).to_have_count(0)  # who does not wait shows that at once
    page.evaluate("window.letGo()")
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(panel.locator(".progress.done")).to_contain_text("24 steps")
