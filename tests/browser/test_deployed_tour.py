"""A visitor's way through the Studio as `deploy local` runs it: real bundles, each a process, the router for anybody.

What is shown here in small is shown in full, over the one-process Studio, by the file of its name beside this one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from common.media.lineage import read_lineage
from common.modes.all import MODES
from common.panels.base import EXAMPLES
from router.shell import EXTRA_PAGES
from tests.browser import test_batch_browser as batches
from tests.browser import test_extend_browser as extending
from tests.browser import test_settings_browser as settings
from tests.browser.hands import send, unfold
from tests.browser.test_gallery_browser import RECIPE, cells, opened
from tests.browser.test_page_axe import everywhere
from tests.browser.test_queue_browser import ready
from tests.security.conftest import ROOT, free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

HERE = ("t2v", "i2v", "vace")
SIZES = [(1440, 900), (390, 844)]
FIRST, NEXT = "a red circle moving right on a black background", "a blue square moving left"


@pytest.fixture(scope="module")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The addresses of the router and of three modes; a disk keeps the Gallery."""
    from deploy import federation, targets
    from deploy.local import LocalFederation, demo

    folder = tmp_path_factory.mktemp("deployed")
    every = targets.resolve(federation.load(profile="demo"), "ada", ROOT)
    found = demo([t for t in every if t.is_router or t.mode in HERE])
    running = LocalFederation(
        found, folder, free_ports(len(found)), say=lambda text: None, env={"WAN_STATE": str(folder / "state")}
    )
    try:
        running.start(300)
        yield {t.mode or "router": running.url(t.name) + "/" for t in found}
    finally:
        running.stop()


@dataclass
class Visitor:
    """One browser: its tabs share what it keeps."""

    context: Any
    url: str
    errors: list[str]

    def tab(self) -> Any:
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(self.url)
        ready(page)
        expect(page.locator(".page-t2v .actions button.primary")).to_be_enabled()
        return page


@pytest.fixture(scope="module")
def arrive(browser: Any, spaces: dict[str, str]) -> Iterator[Any]:
    """Lets a new visitor in, with a window of this size."""
    came: list[Visitor] = []

    def come(size: tuple[int, int]) -> Visitor:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, accept_downloads=True)
        context.set_default_timeout(60_000)
        came.append(Visitor(context, spaces["router"], []))
        return came[-1]

    yield come
    for visitor in came:
        visitor.context.close()
    assert not [error for visitor in came for error in visitor.errors]


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}px")
def visitor(request: pytest.FixtureRequest, arrive: Any) -> Visitor:
    """Who has made a video, and of it the next."""
    visitor = arrive(request.param)
    page = visitor.tab()
    make(page, "t2v", FIRST)
    send(page, "t2v", "i2v", "frame under the playhead")
    make(page, "i2v", NEXT)
    page.close()
    return visitor


@pytest.fixture
def page(visitor: Visitor) -> Iterator[Any]:
    page = visitor.tab()
    yield page
    page.close()


def go(page: Any, name: str) -> None:
    page.evaluate("name => window.wanStudio.go(name)", name)
    expect(page.locator(f".page-{name}")).to_be_visible()


def make(page: Any, mode: str, prompt: str) -> Any:
    """A job, to its end and until its video can be seen."""
    panel = page.locator(f".page-{mode}")
    panel.locator(".prompt textarea").fill(prompt)
    panel.locator(".actions button.primary").click()
    expect(panel.locator(".progress.done")).to_be_visible()
    seen = f"() => document.querySelector('.page-{mode} .result-video video')?.readyState >= 2"
    page.wait_for_function(seen)
    return panel


# 1 ------------------------------------------------------------------ a job that goes on


def test_a_job_goes_on_over_a_reload_and_in_a_second_tab(visitor: Visitor, page: Any) -> None:
    """Three at once, so that there is one that waits while the page is gone, however fast the first is."""
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(FIRST)
    panel.locator(".actions button.primary").click()
    for words in ("a yellow star", "a green star"):
        panel.locator(".prompt textarea").fill(words)
        panel.get_by_role("button", name="Add to queue").click()
        expect(panel.locator(".added .line")).to_contain_text(words)
    page.reload()
    ready(page)
    second = visitor.tab()
    for tab in (page, second):
        go(tab, "queue")
        expect(tab.locator(".page-queue")).to_contain_text("a green star")
    expect(page.locator(".page-queue .job.done", has_text="a green star")).to_be_visible()
    for tab in (page, second):
        go(tab, "t2v")
        expect(tab.locator(".page-t2v .progress.done")).to_be_visible()
        tab.wait_for_function("() => document.querySelector('.page-t2v .result-video video')?.readyState >= 2")
    expect(page.locator(".page-t2v .prompt textarea")).to_have_value("a green star")
    second.close()


# 2 ------------------------------------------------------------------ batches and drafts


def test_seeds_stand_side_by_side_and_a_draft_is_made_in_quality(page: Any) -> None:
    panel = batches.opened(page)
    batches.ask(panel, FIRST, 3)
    expect(panel.locator(".prose.variations-sum")).to_contain_text("3 clips")
    batches.make(panel)
    batches.all_done(panel, 3)
    assert len({*panel.locator(".tile .said").all_text_contents()}) == 3
    panel.get_by_role("button", name="4 drafts").click()
    batches.all_done(panel, 4)
    expect(panel.locator(".progress.done")).to_be_visible()
    panel.locator(".tile").nth(1).get_by_role("button", name="Make it in Quality").click()
    expect(panel.locator(".progress.done")).to_contain_text("24 steps")
    expect(panel.locator(".progress.done")).to_contain_text("The composition may change")
    expect(panel.locator(".tile").nth(1).get_by_role("button", name="Show in Quality")).to_be_visible()
    for left in (3, 0):  # the batch before it, and none
        panel.locator(".batch-head").get_by_role("button", name="Clear").click()
        expect(panel.locator(".tile")).to_have_count(left)
    page.locator(".studio-header .preset label", has_text="Fast").click()  # which Quality had followed
    expect(panel.locator(".dock .label-card")).to_contain_text("4 steps")


# 3, 4 --------------------------------------------------------------- Gallery, recipe, replay


def test_the_gallery_finds_shows_compares_and_brings_back(page: Any) -> None:
    go(page, "gallery")
    count = cells(page).count()
    assert count >= 2
    page.locator("[data-filter-mode=i2v]").click()
    expect(cells(page)).to_have_count(1)
    page.locator("[data-filter-clear]").click()
    page.locator("[data-filter=text]").fill("blue square")
    expect(cells(page)).to_have_count(1)
    page.locator("[data-filter-clear]").click()
    expect(cells(page)).to_have_count(count)

    detail = opened(page, NEXT)
    expect(detail.locator(".lineage [data-act=open]")).to_contain_text(FIRST)
    page.wait_for_function("() => document.querySelector('.detail video').readyState >= 2")
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)

    figure = page.locator(".grid figure", has_text=NEXT)
    figure.locator(".star").click()
    expect(figure).to_have_attribute("data-star", "true")
    for words in (FIRST, NEXT):
        page.locator(".grid figure", has_text=words).first.locator("[data-pick]").check()
    page.wait_for_function(
        "() => [2, 2].every((state, n) => document.querySelectorAll('.compare video')[n]?.readyState >= state)"
    )
    page.locator(".compare [data-close]").click()
    expect(page.locator(".compare")).to_have_count(0)

    opened(page, NEXT).locator(".danger").click()
    expect(cells(page)).to_have_count(count - 1)
    page.locator(".page-gallery .undo [data-act=undo]").click()
    expect(cells(page)).to_have_count(count)


def test_a_result_is_exported_imported_by_another_and_replayed_by_its_recipe(
    page: Any, arrive: Any, spaces: dict[str, str], tmp_path: Path
) -> None:
    go(page, "gallery")
    page.locator(".grid figure", has_text=FIRST).last.locator(".open").click()
    detail, got = page.locator(".detail"), dict[str, Path]()
    for label in ("Video (mp4)", RECIPE, "Animated GIF", "Last frame (PNG)"):
        detail.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            detail.locator(".list").get_by_text(label, exact=True).click()
        got[label] = tmp_path / download.value.suggested_filename
        download.value.save_as(got[label])
        page.keyboard.press("Escape") if detail.locator("details[open]").count() else None
    assert all(path.stat().st_size > 100 for path in got.values())

    other = arrive(SIZES[0]).tab()
    go(other, "gallery")
    expect(cells(other)).to_have_count(0)
    importer = other.evaluate_handle("() => window.wanGallery.importer()").as_element()
    importer.set_input_files(str(got["Video (mp4)"]))
    expect(cells(other)).to_have_count(1)

    again = tmp_path / "again.mp4"
    command = [sys.executable, "-m", "cli", "replay", str(got[RECIPE]), "--server", spaces["t2v"]]
    done = subprocess.run([*command, "--out", str(again)], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    first, second = read_lineage(got["Video (mp4)"]), read_lineage(again)
    assert first and second
    assert (first.seed, first.request) == (second.seed, second.request)


# 5 ------------------------------------------------------------------ Settings


def test_a_visitor_sets_defaults_of_the_own_and_nothing_else(page: Any, arrive: Any) -> None:
    form = settings.settings(page)
    for button in ("Delete", "Download", "Clear", "Unload"):
        expect(form.get_by_role("button", name=button)).to_have_count(0)
    expect(form).to_contain_text("Apache-2.0")
    settings.save(page, Fast_steps="6")
    expect(settings.label(page)).to_contain_text("6 steps")
    settings.again(page)
    expect(settings.label(page)).to_contain_text("6 steps")
    other = arrive(SIZES[0]).tab()
    expect(settings.label(other)).to_contain_text("4 steps")
    form = settings.settings(page)
    form.get_by_role("button", name="Reset").click()
    expect(form.locator("#defaults-word")).to_contain_text("the models' own")
    expect(settings.label(page)).to_contain_text("4 steps")


# 6, 7 --------------------------------------------------------------- before the click


def test_a_prompt_is_enhanced_accepted_and_given_back(page: Any) -> None:
    panel = page.locator(".page-t2v")
    prompt = panel.locator(".prompt textarea")
    prompt.fill("a circle")
    panel.get_by_role("button", name="Enhance").click()
    expect(panel.locator(".proposal ins")).not_to_have_count(0)
    proposal = panel.locator(".proposal .diff").inner_text()
    panel.get_by_role("button", name="Accept").click()
    expect(prompt).to_have_value(proposal)
    panel.get_by_role("button", name="Undo").click()
    expect(prompt).to_have_value("a circle")


def test_the_label_says_what_a_click_would_cost(page: Any) -> None:
    label = page.locator(".page-t2v .label-card")
    page.locator(".page-t2v .prompt textarea").fill(FIRST)
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label).to_contain_text("24 steps")
    page.locator(".studio-header .preset label", has_text="Fast").click()
    expect(label).to_contain_text("4 steps")
    expect(label).to_contain_text(re.compile(r"about \d+ s on this CPU"))


# 8 ------------------------------------------------------------------ a page that fits a person


def test_output_keys_and_steps(visitor: Visitor, page: Any) -> None:
    wide = page.viewport_size["width"] > 768
    page.evaluate("document.activeElement.blur()")
    for key, name in (("2", "i2v"), ("9", "gallery"), ("1", "t2v")):
        page.keyboard.press(key)
        expect(page.locator("body")).to_have_attribute("data-page", name)
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(FIRST)
    panel.locator(".prompt textarea").press("Control+Enter")
    expect(panel.locator(".progress.running, .progress.done").first).to_be_visible()
    expect(panel.locator(".stage")).to_be_in_viewport()
    expect(panel.locator(".progress.done")).to_be_visible()
    if wide:  # on a phone the output comes first, and inputs below it
        page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        expect(panel.locator(".stage")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")

    go(page, "vace")
    vace = page.locator(".page-vace")
    vace.get_by_role("button", name="Next: material").click()
    vace.locator("#vace-source input[type=file]").set_input_files(str(EXAMPLES / "red-circle.mp4"))
    expect(vace.locator(".step-material .sum")).to_contain_text("source video")
    vace.locator(".examples button").locator("visible=true").first.click()
    expect(vace.locator(".step-what .sum")).to_have_text("Control · Gray")
    expect(vace.locator(".dock .todo")).to_have_count(0)
    vace.locator(".actions button.primary").click()
    expect(vace.locator(".progress.done")).to_be_visible()


# 9 ------------------------------------------------------------------ asked for everywhere


def test_one_click_goes_on_from_a_result_and_joins_both(page: Any) -> None:
    make(page, "t2v", FIRST)
    page.locator(".page-t2v").get_by_role("button", name="Extend").click()
    more = page.locator(".page-i2v")
    expect(more).to_be_visible()
    extending.extended(more, extending.MADE + extending.ADDED)
    expect(more.locator(".progress.done .notice", has_text="Colours drift")).to_be_visible()
    more.get_by_role("button", name="Extend").click()
    extending.extended(more, extending.MADE + 2 * extending.ADDED)


def test_three_pictures_become_the_first_the_middle_and_the_last_frame(page: Any, tmp_path: Path) -> None:
    with av.open(str(EXAMPLES / "red-circle.mp4")) as clip:
        moves = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    given = [moves[0], moves[len(moves) // 2], moves[-1]]
    go(page, "vace")
    panel = page.locator(".page-vace")
    unfold(panel)
    panel.get_by_role("radio", name="Extend", exact=True).check(force=True)
    panel.get_by_role("radio", name="First, middle and last frame").check(force=True)
    for label, picture in zip(("First frame", "Middle frame", "Last frame"), given, strict=True):
        slot, file = panel.locator(".slot", has=page.get_by_text(label, exact=True)), tmp_path / f"{label}.png"
        Image.fromarray(picture).save(file)
        slot.locator("input[type=file]").first.set_input_files(str(file))
        expect(slot.locator("img").first).to_be_visible()
    make(page, "vace", FIRST)
    made = extending.frames(page, panel)
    for picture, frame in zip(given, (made[0], made[len(made) // 2], made[-1]), strict=True):
        assert abs(_reddest(picture) - _reddest(frame)) < 16


def _reddest(frame: np.ndarray) -> float:
    """Where from left to right the red of a frame [height, width, 3] lies, in pixels."""
    red = frame[..., 0].astype(float) - frame[..., 1:].mean(axis=-1)
    return float((red.clip(0) * np.arange(red.shape[1])).sum() / red.clip(0).sum())


# 10 ----------------------------------------------------------------- private by default


def test_another_visitor_sees_nothing_and_can_use_nothing_of_this_one(
    visitor: Visitor, page: Any, arrive: Any
) -> None:
    page.wait_for_function("() => document.querySelector('.page-i2v .result-video video')?.src")
    address = page.evaluate("document.querySelector('.page-i2v .result-video video').src")
    other = arrive(page.viewport_size and SIZES[0]).tab()
    for name, rows in (("gallery", ".page-gallery figure"), ("queue", ".page-queue .job")):
        go(other, name)
        expect(other.locator(rows)).to_have_count(0)
        go(page, name)
        expect(page.locator(rows)).not_to_have_count(0)
    give = """async ([address, event]) => {
        const said = {fn_index: event, data: [{path: address, meta: {_type: 'gradio.FileData'}}], session_hash: 'x'};
        const sent = {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(said)};
        return (await fetch('/gradio_api/run/predict', sent)).text();
    }"""
    event = page.evaluate("""() => {
        const parts = Object.fromEntries(gradio_config.components.map((part) => [part.id, part.type]));
        const takes = (event) => event.inputs.map((part) => parts[part]).join();
        return gradio_config.dependencies.find((event) => event.backend_fn && takes(event) === 'video').id;
    }""")
    assert "has expired here" in other.evaluate(give, [address, event])
    assert "has expired here" not in page.evaluate(give, [address, event])


# every page --------------------------------------------------------- axe


def test_axe_every_page_of_the_deployed_studio(page: Any) -> None:
    size, found = page.viewport_size, dict[str, list[str]]()
    looks = [(theme, (size["width"], size["height"])) for theme in ("dark", "light")]
    for name in (*MODES, *EXTRA_PAGES):
        go(page, name)
        if name in HERE:
            unfold(page.locator(f".page-{name}"))
        found[name] = everywhere(page, looks=looks)
    assert not any(found.values()), found
