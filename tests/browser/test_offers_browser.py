"""Under Generate on ZeroGPU: what would fit instead, set by one click; and a prompt that a model completes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_page_axe import everywhere
from tests.common.enhance.chat_server import GOOD, serving
from tests.fleet import end, free_port, start


@pytest.fixture(scope="module")
def chat() -> Iterator[Any]:
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def zero(tmp_path_factory: pytest.TempPathFactory, chat: Any) -> Iterator[str]:
    """A Studio over pretended Spaces of ZeroGPU with the real models, and a model that completes prompts."""
    port = free_port()
    env = {"GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("zero")), "WAN_WEIGHTS": "wan",
           "WAN_ENHANCE_URL": chat.url, "WAN_ENHANCE_MODEL": "tiny"}  # fmt: skip
    more = ("--weights", "wan", "--gpu-size", "xlarge")
    process = start(port, "--modes", "t2v", "i2v", "--router", *more, env=env)
    yield f"http://127.0.0.1:{port}/"
    end(process)


def test_one_click_sets_what_fits_in_a_space(visit: Any, zero: str) -> None:
    page = visit(f"{zero}t2v/")
    offers, label = page.locator(".dock .offers button:visible"), page.locator(".dock .label-card")
    page.locator(".prompt textarea").fill("a fox")
    expect(label).to_contain_text("832×480")
    expect(offers).to_have_count(0)
    page.locator(".own-preset").get_by_text("Quality").click()
    expect(page.locator(".prose.offers-words")).to_contain_text("Fits a free account’s day")
    expect(offers.first).to_contain_text("Fast (~")
    offers.filter(has_text="long").click()
    expect(offers).to_have_count(0)
    expect(page.get_by_label("Quality")).to_be_checked()
    page.get_by_label("number input for Duration").fill("5")
    page.get_by_label("number input for Duration").blur()
    model = offers.filter(has_text="FastWan")
    expect(model).to_be_visible()
    assert everywhere(page) == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    model.click()
    expect(offers).to_have_count(0)
    expect(page.get_by_label("Model").first).to_have_value(re.compile("^FastWan 2.2 TI2V-5B"))
    expect(label).not_to_contain_text("more than")


def test_fast_is_set_in_the_studios_header(visit: Any, zero: str) -> None:
    page = visit(zero)
    header = page.locator(".studio-header .preset")
    header.get_by_text("Quality").click()
    fast = page.locator(".page-t2v .dock .offers button:visible").filter(has_text="Fast (~")
    fast.click()
    expect(header.get_by_label("Fast")).to_be_checked()
    expect(fast).to_have_count(0)
    expect(page.locator(".page-t2v .label-card")).to_contain_text("4 steps")


def test_a_models_prompt_and_what_happens_when_it_fails(visit: Any, zero: str, chat: Any) -> None:
    page = visit(f"{zero}t2v/")
    prompt, proposal = page.locator(".prompt textarea"), page.locator(".proposal")
    prompt.fill("a fox in the snow")
    chat.does = None
    page.get_by_role("button", name="Enhance").click()
    expect(proposal).to_contain_text("By tiny on this machine")
    chat.does = 500
    page.get_by_role("button", name="Enhance").click()
    expect(proposal).to_contain_text("Tiny on this machine has a failure of its own (500). This is by rules.")
    expect(page.locator(".proposal del")).to_have_count(0)
    chat.does = None
    page.get_by_role("button", name="Enhance").click()
    expect(page.locator(".proposal del")).not_to_have_count(0)
    page.get_by_role("button", name="Accept").click()
    expect(prompt).to_have_value(GOOD)
    page.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value("a fox in the snow")
