"""Nothing jumps, and nothing is said twice: boxes and sentences before, while and after a job, and where it fails."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import expect

from common.modes.all import MODES
from tests.browser.hands import unfold

PROMPT = "a red circle moving right on a black background"
SHIFTS = """() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
        for (const entry of list.getEntries()) {
            if (entry.hadRecentInput) continue;
            window.shifts.push([entry.value, ...entry.sources.map(({node, previousRect: a, currentRect: b}) =>
                `${node?.className ?? node?.nodeName}: ${a.x},${a.y} ${a.width}x${a.height} to `
                + `${b.x},${b.y} ${b.width}x${b.height}`)]);
        }
    }).observe({type: 'layout-shift', buffered: false});
}"""
BOXES = """panel => Object.fromEntries(['.actions', '.stage', '.below', '.examples:not(.hide)'].map((name) => {
    const {x, y, width, height} = panel.querySelector(name).getBoundingClientRect();
    return [name, [x, y, width, height].map(Math.round)];
}))"""
SENTENCES = """() => {
    const said = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node; (node = walk.nextNode());) {
        const text = node.textContent.trim(), owner = node.parentElement;
        if (text.length < 24 || owner.closest('style, script, template, select, textarea, [role=listbox]')) continue;
        if (owner.checkVisibility({visibilityProperty: true})) said.push(text);
    }
    return said;
}"""


def twice(page: Any) -> list[str]:
    """Sentences that a visitor reads more than once."""
    return [text for text, times in Counter(page.evaluate(SENTENCES)).items() if times > 1]


def test_a_job_moves_nothing(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(PROMPT)
    expect(panel.locator(".todo")).to_have_count(0)
    before = panel.evaluate(BOXES)
    page.evaluate(SHIFTS)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".screen img.live")).to_be_visible()
    running = panel.evaluate(BOXES)
    expect(panel.locator(".progress.done")).to_be_visible()
    done = panel.evaluate(BOXES)
    panel.get_by_role("button", name="Send to").click()
    expect(page.get_by_role("menu")).to_be_visible()
    assert before == running == done == panel.evaluate(BOXES)
    page.keyboard.press("Escape")
    # Stop comes beside Generate, which makes way for it: with a click that no shift is counted for.
    assert sum(shift[0] for shift in page.evaluate("shifts")) < 0.01, page.evaluate("shifts")


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_said_twice_before_and_where_it_fails(visit: Any, fleet: str, mode: str) -> None:
    page = visit(f"{fleet}{mode}/")
    unfold(page)
    said = twice(page)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".screen .error")).to_be_visible()  # an input is still empty
    assert not said + twice(page)


def test_nothing_is_said_twice_of_a_job_with_notices(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel = page.locator(".page-vace")
    page.evaluate("window.wanStudio.go('vace')")
    panel.locator(".examples button").locator("visible=true").first.click()
    expect(panel.locator(".todo")).to_have_count(0)
    expect(panel.locator(".label-card .notice").first).to_be_visible()
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    unfold(panel)
    assert not twice(page)


def test_a_rule_that_is_broken_is_told_once(visit: Any, fleet: str) -> None:
    page = visit(f"{fleet}t2v/")
    page.locator(".prompt textarea").fill(PROMPT)
    page.get_by_role("button", name="Advanced").click()
    frames = page.get_by_label("Frames", exact=True)
    frames.fill("18")
    frames.press("Tab")
    expect(page.locator(".label-card.broken")).to_be_visible()
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".screen .error")).to_be_visible()
    assert not twice(page)
