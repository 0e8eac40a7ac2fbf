"""Several clips of one request, side by side: seeds, choices, a setting, drafts; and what comes of one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.hands import send, typed
from tests.browser.test_page_axe import grave
from tests.fleet import end, free_port, start

RED = "a red circle moving right on a black background"
CHOICE = "a {red|blue} circle moving right on a black background"
EACH = "() => [...document.querySelectorAll('.page-t2v .tile video')].every(v => %s)"
"""Whether all clips of a batch are so."""
SETTLED = """() => new Promise((done) => {
    let last = scrollY, still = 0;
    const look = () => {
        still = scrollY === last ? still + 1 : 0;
        last = scrollY;
        still > 5 ? done() : requestAnimationFrame(look);
    };
    look();
})"""
"""Once the page has stood still for some frames."""
SIZES = [(1440, 900), (390, 844)]


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Studio whose jobs stand still at their third step as long as a file is there."""
    folder, port = tmp_path_factory.mktemp("batch"), free_port()
    arguments = ("--modes", "t2v", "vace", "--router", "--pause", "0", "--hold", str(folder / "hold"))
    process = start(port, *arguments, env={"GRADIO_TEMP_DIR": str(folder), "WAN_STATE": str(folder / "state")})
    yield f"http://127.0.0.1:{port}/", folder / "hold"
    end(process)


@pytest.fixture
def studio(held: tuple[str, Path]) -> Iterator[str]:
    """Its address; jobs come to their end unless a test holds them."""
    held[1].unlink(missing_ok=True)
    yield held[0]
    held[1].unlink(missing_ok=True)


def opened(page: Any, mode: str = "t2v") -> Locator:
    """A mode's page with its variations unfolded, and nothing that stands in the way on a phone."""
    panel = page.locator(f".page-{mode}")
    expect(page.locator(f".nav [data-page={mode}]")).not_to_have_class(re.compile(r"\boff\b"))
    box = panel.locator(".variations")
    if not panel.locator(".variations-go").is_visible():
        box.locator("button").first.click()
    expect(panel.locator(".variations-go")).to_be_visible()
    return panel


def ask(panel: Locator, prompt: str, seeds: int = 1, setting: str = "", values: str = "") -> None:
    panel.locator(".prompt textarea").fill(prompt)
    typed(panel.get_by_label("Seeds", exact=True), str(seeds))
    if setting:
        panel.get_by_label("Compare a setting").click()
        panel.page.get_by_role("option", name=setting, exact=True).click()
        box = panel.get_by_label("Its values, with commas")
        expect(box).to_be_visible()
        if values:
            box.fill(values)
            box.press("Tab")


def make(panel: Locator) -> None:
    panel.get_by_role("button", name="Make variations").click()


def tiles(panel: Locator, *labels: str | re.Pattern[str]) -> None:
    expect(panel.locator(".tile .said")).to_have_text(list(labels))


def all_done(panel: Locator, count: int) -> None:
    expect(panel.locator(".tile.done video")).to_have_count(count)


@pytest.mark.parametrize("size", SIZES)
def test_three_seeds_are_made_side_by_side_and_each_can_be_taken(visit: Any, studio: str, size: Any) -> None:
    page = visit(studio, size)
    panel = opened(page)
    ask(panel, RED, 3)
    expect(panel.locator(".prose.variations-sum")).to_contain_text("3 clips")
    expect(panel.locator(".prose.variations-sum")).to_contain_text(re.compile(r"3 clips ⌚ about \d+ s on this CPU"))
    make(panel)
    all_done(panel, 3)
    expect(panel.locator(".batch-head")).to_contain_text("3 variations")
    expect(panel.locator(".batch-head")).to_contain_text("3 done")
    names = panel.locator(".tile .said").all_text_contents()
    assert len({*names}) == 3 and all(re.fullmatch(r"seed \d+", name) for name in names)
    page.wait_for_function(EACH % "v.readyState >= 2")
    middle = panel.locator(".tile").nth(1)
    middle.locator(".look").click()
    expect(panel.locator(".progress.done")).to_contain_text(names[1])
    expect(middle).to_have_class(re.compile(r"\bchosen\b"))
    panel.get_by_role("button", name="Advanced").click()
    seed = panel.get_by_label("number input for Seed")
    expect(seed).to_have_value(names[1].removeprefix("seed "))
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    panel.get_by_role("button", name="Play all from the beginning").click()
    page.wait_for_function(EACH % "!v.paused")
    page.add_style_tag(content="* { transition: none !important; }")
    for dark in ("false", "true"):
        page.evaluate(f"document.body.classList.toggle('dark', {dark})")
        assert not grave(page)
    # What is taken can be sent on.
    if (bar := page.locator(".sidebar.open .toggle-button")).is_visible() and size[0] < 768:
        bar.click()
    panel.locator("button.send").scroll_into_view_if_needed()
    page.evaluate(SETTLED)  # the menu closes when the page is scrolled
    send(page, "t2v", "vace", "Go on from its end")
    expect(page.locator(".page-vace .inputs video").first).to_be_attached()


@pytest.mark.parametrize("size", SIZES)
def test_choices_and_a_setting_make_one_clip_of_each(visit: Any, studio: str, size: Any) -> None:
    panel = opened(visit(studio, size))
    ask(panel, CHOICE, 1, "Steps", "2, 3")
    expect(panel.locator(".prose.variations-sum")).to_contain_text("4 clips")
    make(panel)
    all_done(panel, 4)
    tiles(panel, "red · Steps 2", "red · Steps 3", "blue · Steps 2", "blue · Steps 3")
    panel.locator(".tile .look").nth(3).click()
    expect(panel.locator(".progress.done")).to_contain_text("3 steps")


def test_what_is_too_much_or_broken_is_said_before_the_click_and_makes_nothing(visit: Any, studio: str) -> None:
    page = visit(studio)
    panel = opened(page)
    ask(panel, CHOICE, 20)
    wrong = panel.locator(".prose.variations-sum [role=alert]")
    expect(wrong).to_contain_text("A batch may have at most 24 clips; got 40")
    panel.locator(".prompt textarea").fill("a {red|blue circle")
    expect(wrong).to_contain_text("brace without its other half")
    make(panel)
    expect(page.get_by_role("alert").filter(has_text="write choices as {red|blue}").first).to_be_visible()
    ask(panel, RED, 1)
    make(panel)
    expect(page.locator(".toast-body").filter(has_text="A batch is a single clip")).to_be_visible()
    page.locator(".nav [data-page=queue]").click()
    expect(page.locator(".page-queue .empty-page")).to_be_visible()


@pytest.mark.parametrize("size", SIZES)
def test_drafts_in_one_click_and_one_of_them_in_quality(visit: Any, studio: str, size: Any) -> None:
    page = visit(studio, size)
    panel = opened(page)
    panel.locator(".prompt textarea").fill(RED)
    expect(panel.locator(".prose.variations-sum")).to_contain_text("4 drafts")
    panel.get_by_role("button", name="4 drafts").click()
    all_done(panel, 4)
    seed = panel.locator(".tile .said").nth(2).text_content()
    panel.get_by_role("button", name=f"Make it in Quality: {seed}").click()
    expect(panel.locator(".progress.done")).to_contain_text("24 steps")
    expect(panel.locator(".progress.done")).to_contain_text(f"{seed}")
    expect(panel.locator(".progress.done")).to_contain_text("quality")
    expect(panel.locator(".progress .notice")).to_contain_text("The composition may change")
    expect(page.locator(".studio-header .preset input[value=quality]")).to_be_checked()
    expect(panel.get_by_role("button", name=f"Show in Quality: {seed}")).to_be_visible()


def test_a_reload_a_second_tab_and_the_queue_have_the_batch_too(
    browser: Any, studio: str, held: tuple[str, Path]
) -> None:
    held[1].touch()
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    page = context.new_page()
    page.goto(studio)
    panel = opened(page)
    ask(panel, RED, 3, "Steps", "4")
    make(panel)
    expect(panel.locator(".tile.running")).to_have_count(1)
    expect(panel.locator(".tile.running .look")).to_contain_text("step 2 of 4")
    page.reload()
    second = context.new_page()
    second.goto(studio)
    for tab in (page, second):
        expect(tab.locator(".page-t2v .tile")).to_have_count(3)
        expect(tab.locator(".page-t2v .tile.running .look")).to_contain_text("step 2 of 4")
        expect(tab.locator(".page-t2v .progress")).to_contain_text("Step 2 of 4")
    second.locator(".nav [data-page=queue]").click()
    row = second.locator(".page-queue .batch-row")
    expect(row).to_contain_text("T2V: 3 variations")
    expect(second.locator(".page-queue .job.waiting")).to_have_count(2)
    second.add_style_tag(content="* { transition: none !important; }")
    for dark in ("false", "true"):
        second.evaluate(f"document.body.classList.toggle('dark', {dark})")
        assert not grave(second)
    last = page.locator(".page-t2v .tile .said").nth(2).text_content() or ""
    second.locator(".page-queue .job.waiting", has_text=last).get_by_role("button", name="Earlier").click()
    expect(second.locator(".page-queue .job.waiting").first).to_contain_text(last)
    row.get_by_role("button", name="Cancel T2V: 3 variations").click()
    expect(second.locator(".page-queue .job.cancelled")).to_have_count(3)
    expect(page.locator(".page-t2v .tile.cancelled")).to_have_count(3)
    expect(page.locator(".page-t2v .actions button.primary")).to_be_enabled()
    page.locator(".page-t2v .batch").get_by_role("button", name="Clear").click()
    expect(page.locator(".page-t2v .batch")).to_be_hidden()
    context.close()


def test_one_visitor_sees_nothing_of_anothers_batch(visit: Any, studio: str) -> None:
    page, stranger = visit(studio), visit(studio)
    panel = opened(page)
    ask(panel, RED, 2)
    make(panel)
    all_done(panel, 2)
    stranger.reload()
    opened(stranger)
    stranger.locator(".nav [data-page=queue]").click()
    expect(stranger.locator(".page-queue .empty-page")).to_be_visible()
    expect(stranger.locator(".tile")).to_have_count(0)


def test_vace_has_no_fast_preset_and_says_how_its_drafts_are_cheap(visit: Any, studio: str) -> None:
    page = visit(studio)
    page.locator(".nav [data-page=vace]").click()
    panel = opened(page, "vace")
    expect(panel.locator(".prose.variations-sum")).to_contain_text("no Fast preset")


def test_real_pipelines_make_a_batch(visit: Any, address: str) -> None:
    page = visit(address)
    panel = opened(page)
    ask(panel, CHOICE, 1, "Steps", "2, 4")
    make(panel)
    all_done(panel, 4)
    page.wait_for_function(EACH % "v.readyState >= 2")
    panel.locator(".tile .look").nth(2).click()
    expect(panel.locator(".progress.done")).to_contain_text("2 steps")
