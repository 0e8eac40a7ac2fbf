"""Generate and the output stay in sight: on a desk while long inputs scroll, on a phone within one gesture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from common.modes.all import MODES

DESK, PHONE = (1440, 900), (390, 844)


def advanced(page: Any) -> None:
    """Opens Advanced, where it is not open from the start."""
    button = page.get_by_role("button", name="Advanced").locator("visible=true")
    if "open" not in (button.get_attribute("class") or "").split():
        button.click()
    expect(page.get_by_text("Negative prompt").locator("visible=true")).to_be_visible()


def shown(page: Any, selector: str) -> Any:
    return page.locator(selector).locator("visible=true").first


def scroll(page: Any, share: float) -> None:
    """To a share of the way from the top of the inputs to their end."""
    page.evaluate(
        """share => {
            const all = [...document.querySelectorAll('.inputs')];
            const box = all.find((e) => e.offsetHeight).getBoundingClientRect();
            const way = box.bottom + scrollY - innerHeight;
            scrollTo({top: Math.max(0, way) * share, behavior: 'instant'});
        }""",
        share,
    )


def panels(visit: Any, fleet: str, where: str, size: tuple[int, int]) -> Iterator[Any]:
    """The page at every mode in turn, Advanced open."""
    page = visit(fleet, size) if where == "studio" else None
    for mode in MODES:
        if where == "space":
            page = visit(f"{fleet}{mode}/", size)
        else:
            page.evaluate("mode => window.wanStudio.go(mode)", mode)
            expect(page.locator(f".page-{mode}")).to_be_visible()
        advanced(page)
        for share in (0, 0.5, 1):
            scroll(page, share)
            yield page


@pytest.mark.parametrize("where", ["studio", "space"])
def test_on_a_desk_generate_and_output_stay_while_inputs_scroll(visit: Any, fleet: str, where: str) -> None:
    for page in panels(visit, fleet, where, DESK):
        expect(shown(page, ".actions button")).to_be_in_viewport(ratio=1)
        expect(shown(page, ".label-card .eta")).to_be_in_viewport(ratio=1)
        expect(shown(page, ".stage")).to_be_in_viewport(ratio=0.99)


@pytest.mark.parametrize("where", ["studio", "space"])
def test_on_a_phone_generate_stays_while_inputs_scroll(visit: Any, fleet: str, where: str) -> None:
    for page in panels(visit, fleet, where, PHONE):
        expect(shown(page, ".actions button")).to_be_in_viewport(ratio=1)
        # What lies under it cannot be read through it, and gets no click.
        assert shown(page, ".dock").evaluate(
            """dock => {
                const {left, right, top, bottom} = dock.getBoundingClientRect();
                for (let y = top + 3; y < Math.min(bottom, innerHeight) - 3; y += 6)
                    for (let x = left + 3; x < right - 3; x += 6)
                        if (!dock.contains(document.elementFromPoint(x, y))) return false;
                return true;
            }"""
        )


@pytest.mark.parametrize("start", ["top", "end"])
@pytest.mark.parametrize("where", ["studio", "space"])
def test_on_a_phone_a_click_brings_output_and_stop_in_view(
    visit: Any, fleet: str, where: str, start: str
) -> None:
    page = visit(fleet if where == "studio" else f"{fleet}t2v/", PHONE)
    shown(page, ".prompt textarea").fill("a red circle moving right on a black background")
    advanced(page)
    # The page ends well below the output, as it does with what is under the output.
    page.add_style_tag(content="body { padding-bottom: 900px; }")
    page.evaluate("end => scrollTo(0, end ? document.body.scrollHeight : 0)", start == "end")
    go = shown(page, ".actions button.primary")
    go.evaluate("button => button.click()")  # as a key would: nothing is scrolled for it
    expect(shown(page, ".stage")).to_be_in_viewport(ratio=0.99)
    expect(shown(page, ".actions button.stop")).to_be_in_viewport(ratio=1)
    expect(shown(page, ".progress.done")).to_be_in_viewport(ratio=0.9)
