"""Jobs that go on: through a reload, in a second tab, after a crash; and the page that lists them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.test_page_axe import grave
from tests.fleet import end, free_port, start

RED, BLUE, GREEN = (
    "a red circle moving right on a black background",
    "a blue square growing on a gray background",
    "a green triangle spinning on a navy background",
)
"""Three clips that Wan-Nano knows."""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Studio whose jobs stand still at their third step as long as a file is there."""
    folder, port = tmp_path_factory.mktemp("held"), free_port()
    arguments = ("--modes", "t2v", "i2v", "--router", "--pause", "0", "--hold", str(folder / "hold"))
    process = start(port, *arguments, env={"GRADIO_TEMP_DIR": str(folder)})
    yield f"http://127.0.0.1:{port}/", folder / "hold"
    end(process)


@pytest.fixture
def studio(held: tuple[str, Path]) -> Iterator[str]:
    """Its address; jobs stand still until `go_on`."""
    held[1].touch()
    yield held[0]
    held[1].unlink(missing_ok=True)


@pytest.fixture
def go_on(held: tuple[str, Path]) -> Any:
    """Lets all jobs come to their end."""
    return held[1].unlink


@pytest.fixture
def tabs(browser: Any) -> Iterator[Any]:
    """Opens pages of one visitor."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(60_000)
    errors: list[str] = []

    def open_tab(url: str) -> Any:
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        ready(page)
        return page

    yield open_tab
    context.close()
    assert not errors


def ready(page: Any) -> None:
    expect(page.locator(".nav [data-page=t2v]")).to_be_visible()
    expect(page.locator(".nav [data-page=t2v]")).not_to_have_class(re.compile(r"\boff\b"))


def generate(page: Any, prompt: str) -> None:
    page.locator(".page-t2v .prompt textarea").fill(prompt)
    page.locator(".page-t2v .actions button.primary").click()


def add(page: Any, prompt: str) -> None:
    page.locator(".page-t2v .prompt textarea").fill(prompt)
    page.locator(".page-t2v").get_by_role("button", name="Add to queue").click()
    expect(page.locator(".page-t2v .added .line")).to_contain_text(prompt)


def runs(page: Any) -> None:
    expect(page.locator(".page-t2v .progress")).to_contain_text("Step 2 of 4")


def jobs(page: Any, *states: str) -> None:
    """The list has these jobs, in this order."""
    page.locator(".nav [data-page=queue]").click()
    expect(page.locator(".page-queue .job")).to_have_class([re.compile(rf"\b{state}\b") for state in states])


def test_a_job_is_there_again_after_a_reload_and_in_a_second_tab(
    tabs: Any, studio: str, go_on: Any
) -> None:
    page = tabs(studio)
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    generate(page, RED)
    runs(page)
    expect(page.locator(".page-t2v .screen img.live")).to_be_visible()
    page.reload()
    assert not asked, "nothing is lost, so nothing is asked"
    second = tabs(studio)
    for tab in (page, second):
        runs(tab)
        expect(tab.locator(".page-t2v .screen img.live")).to_be_visible()
        expect(tab.locator(".page-t2v .actions button.stop")).to_be_visible()
    go_on()
    for tab in (page, second):
        expect(tab.locator(".page-t2v .progress.done")).to_be_visible()
        expect(tab.locator(".page-t2v .actions button.primary")).to_be_enabled()
        tab.wait_for_function("() => document.querySelector('.page-t2v .result-video video')?.readyState >= 2")
    third = tabs(studio)
    expect(third.locator(".page-t2v .progress.done")).to_be_visible()


def test_a_job_that_is_stopped_after_a_reload_has_stopped_everywhere(tabs: Any, studio: str) -> None:
    first = tabs(studio)
    generate(first, RED)
    runs(first)
    second = tabs(studio)
    runs(second)
    second.locator(".page-t2v .actions button.stop").click()
    for tab in (first, second):
        expect(tab.locator(".page-t2v .progress.stopped")).to_be_visible()
        expect(tab.locator(".page-t2v .actions button.primary")).to_be_enabled()
    jobs(second, "cancelled")


def test_the_queue_is_seen_reordered_held_back_cancelled_and_cleared(tabs: Any, studio: str) -> None:
    page = tabs(studio)
    generate(page, RED)
    runs(page)
    add(page, BLUE)
    add(page, GREEN)
    queue = page.locator(".page-queue")
    jobs(page, "running", "waiting", "waiting")
    expect(page.locator(".links [data-page=queue]")).to_have_attribute("data-count", "3")
    queue.get_by_role("button", name=re.compile("Earlier T2V: a green")).click()
    expect(queue.locator(".prompt-line")).to_have_text([RED, GREEN, BLUE])
    page.add_style_tag(content="* { transition: none !important; }")
    for dark in ("false", "true"):
        page.evaluate(f"document.body.classList.toggle('dark', {dark})")
        assert not grave(page)
    queue.locator("[data-do=pause]").click()
    expect(queue.locator(".queue-sum")).to_contain_text("paused")
    queue.get_by_role("button", name=re.compile("Cancel T2V: a red")).click()
    jobs(page, "waiting", "waiting", "cancelled")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})
    queue.locator("[data-do=resume]").click()
    jobs(page, "running", "waiting", "cancelled")
    queue.get_by_role("button", name=re.compile("Show T2V: a green")).click()
    runs(page)
    jobs(page, "running", "waiting", "cancelled")
    queue.locator("[data-do=cancel-all]").click()
    jobs(page, "cancelled", "cancelled", "cancelled")
    queue.locator("[data-do=clear]").click()
    expect(queue.locator(".empty-page")).to_be_visible()


def test_what_was_added_is_shown_when_its_turn_comes(tabs: Any, studio: str) -> None:
    page = tabs(studio)
    generate(page, RED)
    runs(page)
    add(page, BLUE)
    page.locator(".page-t2v .actions button.stop").click()
    runs(page)  # the next one
    jobs(page, "running", "cancelled")
    page.locator(".page-queue [data-do=cancel]").click()
    jobs(page, "cancelled", "cancelled")


def test_who_generates_at_once_sees_that_job_and_not_the_last_one(
    tabs: Any, studio: str, held: tuple[str, Path]
) -> None:
    page, hold = tabs(studio), held[1]
    hold.unlink()
    generate(page, RED)
    expect(page.locator(".page-t2v .progress.done")).to_be_visible()
    hold.touch()
    for _ in range(3):
        page.reload(wait_until="commit")
        page.locator(".page-t2v .prompt textarea").fill(BLUE)
        page.locator(".page-t2v .actions button.primary").click()
        runs(page)
        expect(page.locator(".page-t2v .actions button.stop")).to_be_enabled()
        page.locator(".page-t2v .actions button.stop").click()
        expect(page.locator(".page-t2v .progress.stopped")).to_be_visible()
    jobs(page, "cancelled", "cancelled", "cancelled", "done")


def test_one_visitor_sees_nothing_of_anothers_queue(visit: Any, tabs: Any, studio: str) -> None:
    page, stranger = tabs(studio), visit(studio)
    generate(page, RED)
    runs(page)
    stranger.locator(".nav [data-page=queue]").click()
    expect(stranger.locator(".page-queue .empty-page")).to_be_visible()
    stranger.reload()
    ready(stranger)
    expect(stranger.locator(".page-t2v .progress")).to_have_class(re.compile("empty"))
    jobs(page, "running")
    page.locator(".page-queue [data-do=cancel]").click()
    jobs(page, "cancelled")


def test_a_studio_that_was_killed_goes_on_with_all_that_it_had(tabs: Any, tmp_path: Path) -> None:
    port, hold = free_port(), tmp_path / "hold"
    env = {"GRADIO_TEMP_DIR": str(tmp_path / "cache"), "WAN_STATE": str(tmp_path / "state")}
    arguments = ("--modes", "t2v", "--router", "--pause", "0", "--hold", str(hold))
    hold.touch()
    studio = start(port, *arguments, env=env)
    try:
        page = tabs(f"http://127.0.0.1:{port}/")
        generate(page, RED)
        runs(page)
        for number in range(9):
            add(page, f"{BLUE} {number}")
        jobs(page, "running", *["waiting"] * 9)
        end(studio)  # with -9
        studio = start(port, *arguments, env=env)
        page.goto("about:blank")
        page.goto(f"http://127.0.0.1:{port}/")
        ready(page)
        runs(page)
        jobs(page, "running", *["waiting"] * 9)
        hold.unlink()
        jobs(page, *["done"] * 10)
    finally:
        end(studio)
