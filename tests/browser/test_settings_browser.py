"""The Settings page as a person uses it: defaults that plans then use, models, caches; and what a visitor sees."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import studio
from tests.browser.hands import typed
from tests.browser.test_page_axe import everywhere
from tests.fleet import end, free_port, start

DESK, PHONE = (1440, 900), (390, 844)
PROMPT = "a red circle moving right on a black background"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A person's Studio over modes with a pretended disk, whose downloads stand still while a file is there."""
    folder = tmp_path_factory.mktemp("own")
    hold, port = folder / "hold", free_port()
    env = {"GRADIO_TEMP_DIR": str(folder / "gradio"), "WAN_STATE": str(folder / "state")}
    more = ("--router", "--personal", "--stocked", "--weights", "wan", "--hold", str(hold))
    process = start(port, "--modes", "t2v", "i2v", *more, env=env)
    yield f"http://127.0.0.1:{port}/", hold
    end(process)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a person's Studio with two modes that really run."""
    with studio.running(tmp_path_factory.mktemp("real"), "t2v", "i2v") as url:
        yield url


def again(page: Any) -> None:
    """Reload, up to where the page's own scripts answer."""
    page.reload()
    page.wait_for_function("() => window.wanStudio && document.querySelector('.nav .here')")


def settings(page: Any) -> Any:
    page.evaluate("window.wanStudio.go('settings')")
    expect(page.locator("#settings-active .state.ready").first).to_be_visible()
    return page.locator(".page-settings")


def save(page: Any, **numbers: str) -> None:
    """Numbers by their labels, with `_` for what a name cannot have."""
    form = page.locator(".page-settings")
    for label, value in numbers.items():
        typed(form.get_by_label(label.replace("_", ": ").replace("cfg", "guidance (CFG)")), value)
    form.get_by_role("button", name="Save defaults").click()
    expect(form.locator("#defaults-word")).to_contain_text("These are yours")


def label(page: Any, mode: str = "t2v") -> Any:
    page.evaluate("mode => window.wanStudio.go(mode)", mode)
    return page.locator(f".page-{mode} .dock .label-card")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_defaults_change_label_and_job_and_outlive_a_reload(visit: Any, real: str, size: tuple[int, int]) -> None:
    page = visit(real, size)
    expect(label(page)).to_contain_text("4 steps")
    settings(page)
    save(page, Fast_steps="6")
    expect(label(page)).to_contain_text("6 steps")
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    expect(panel.locator(".card").first).to_contain_text("6 steps")
    again(page)
    expect(label(page)).to_contain_text("6 steps")
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label(page)).to_contain_text("24 steps")
    page.locator(".studio-header .preset label", has_text="Fast").click()
    expect(label(page)).to_contain_text("6 steps")
    form = settings(page)
    expect(form.get_by_label("Fast: steps")).to_have_value("6")
    form.get_by_role("button", name="Reset").click()
    expect(form.locator("#defaults-word")).to_contain_text("the models' own")
    expect(label(page)).to_contain_text("4 steps")


def test_clearing_and_unloading_leave_the_gallery_whole(visit: Any, real: str) -> None:
    page = visit(real)
    expect(label(page)).to_contain_text("4 steps")
    panel = page.locator(".page-t2v")
    panel.locator(".prompt textarea").fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    settings(page)
    expect(page.locator("#settings-active")).to_contain_text("loaded ✓")
    expect(page.locator("#settings-loras")).to_contain_text("loaded ✓")
    expect(page.locator("#settings-models [data-do]")).to_have_count(0)  # Wan-Nano is part of the code
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    clear = page.get_by_role("button", name="Clear the videos made")
    clear.click()
    assert "Your Gallery keeps its own" in asked[0]
    expect(page.locator("#settings-said")).to_have_text("")  # not sure: nothing was done
    page.once("dialog", lambda dialog: dialog.accept())
    clear.click()
    expect(page.locator("#settings-said")).to_contain_text("freed")
    page.get_by_role("button", name="Unload the models in memory").click()
    expect(page.locator("#settings-active .state", has_text=re.compile("^loaded"))).to_have_count(0)
    again(page)
    page.evaluate("window.wanStudio.go('gallery')")
    page.locator(".page-gallery figure").first.click()
    page.wait_for_function("() => document.querySelector('.page-gallery .gallery-detail video')?.readyState >= 2")
    # And what the mode's own page shows last is still there.
    expect(label(page)).to_be_visible()
    page.wait_for_function("() => document.querySelector('.page-t2v .result-video video')?.readyState >= 2")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_model_is_fetched_followed_cancelled_gone_on_with_and_deleted(
    visit: Any, own: tuple[str, Path], size: tuple[int, int]
) -> None:
    url, hold = own
    hold.touch()
    page = visit(url, size)
    settings(page)
    row = page.locator("#settings-models tr", has=page.locator("[data-key='wan2.1-t2v-1.3b']"))
    row.get_by_role("button", name="Download").focus()
    page.keyboard.press("Enter")
    expect(row.locator("progress")).to_have_attribute("value", "4000000000")
    expect(row.get_by_role("button", name="Cancel")).to_be_focused()  # the row was drawn anew meanwhile
    again(page)
    settings(page)
    row.get_by_role("button", name="Cancel").click()
    expect(row).to_contain_text("stopped; 4.0 GB of about 8.0 GB are here")
    hold.unlink()
    row.get_by_role("button", name="Go on").click()
    expect(row).to_contain_text("on disk ✓")
    page.once("dialog", lambda dialog: dialog.accept())
    row.get_by_role("button", name="Delete").click()
    expect(page.locator("#settings-said")).to_contain_text("8.0 GB freed")
    expect(row).to_contain_text("about 8.0 GB to download")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_axe_own_settings(visit: Any, own: tuple[str, Path]) -> None:
    page = visit(own[0])
    settings(page)
    fold = "document.querySelectorAll('.page-settings details').forEach((one) => { one.open = true; })"
    assert not everywhere(page, lambda: page.evaluate(fold))


def test_the_hybrid_is_a_default_of_image_to_video_where_it_has_an_effect(visit: Any, own: tuple[str, Path]) -> None:
    page = visit(own[0])
    form = settings(page)
    expect(form.locator("#defaults-hybrid")).to_be_hidden()
    form.get_by_label("Mode", exact=True).click()
    page.get_by_role("option", name="Image to Video", exact=True).click()
    form.locator("#defaults-hybrid").get_by_role("checkbox").check()
    form.get_by_role("button", name="Save defaults").click()
    expect(form.locator("#defaults-word")).to_contain_text("These are yours")
    expect(label(page, "i2v")).to_contain_text("Experimental: sharper")
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label(page, "i2v")).not_to_contain_text("hybrid")
    expect(label(page, "i2v")).to_contain_text("30 steps")


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_visitor_of_a_hosted_studio_changes_their_own_browser_alone(
    visit: Any, fleet: str, size: tuple[int, int]
) -> None:
    page = visit(fleet, size)
    form = settings(page)
    expect(form.locator("[data-do]")).to_have_count(0)
    save(page, Quality_steps="12", Quality_cfg="6.5")
    expect(form.locator(".settings", has_text="kept in this browser")).to_be_visible()
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label(page)).to_contain_text("12 steps")
    again(page)
    expect(label(page)).to_contain_text("12 steps")
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    other = visit(fleet, size)
    other.locator(".studio-header .preset label", has_text="Quality").click()
    expect(label(other)).to_contain_text("24 steps")


def test_a_number_that_no_plan_takes_is_refused_in_words(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    form = settings(page)
    typed(form.get_by_label("Fast: steps"), "4.5")
    form.get_by_role("button", name="Save defaults").click()
    expect(page.locator(".toast-body")).to_contain_text("Fast: steps must be a whole number")


def test_what_a_browser_kept_and_nobody_can_read_is_ignored_with_a_word(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    settings(page)
    page.evaluate("localStorage.setItem('wan-studio-defaults', 'broken')")
    again(page)
    settings(page)
    expect(label(page)).to_contain_text("4 steps")
