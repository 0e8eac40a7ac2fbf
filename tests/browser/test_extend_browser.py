"""Extend: one click makes one video of both parts, again and again; in the Studio and on a mode's own page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import av
import httpx
import numpy as np
import pytest
from playwright.sync_api import expect

from tests import studio
from tests.browser.hands import send

PROMPT = "a red circle moving right on a black background"
MADE, ADDED = 17, 16
"""Frames of Wan-Nano's clip, and those that going on adds to it."""
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
PLAYS = """async (video) => {
    const end = (name) => new Promise((done) => video.addEventListener(name, done, {once: true}));
    video.loop = false; video.muted = true; video.currentTime = 0;
    const ended = end('ended');
    await video.play();
    await ended;
    return video.duration;
}"""


@pytest.fixture(scope="module")
def modes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Studio with the real modes that extend, and one that is extended."""
    with studio.running(tmp_path_factory.mktemp("extend"), "t2v", "i2v", "vace") as url:
        yield url


def generate(panel: Any) -> Any:
    panel.locator(".prompt textarea").fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    return panel


def frames(page: Any, panel: Any) -> np.ndarray:
    """The result, fetched as the page shows it."""
    source = panel.locator(".result-video video").evaluate("v => v.currentSrc || v.src")
    with av.open(io.BytesIO(httpx.get(source, timeout=60).content)) as clip:
        return np.stack([f.to_ndarray(format="rgb24") for f in clip.decode(video=0)])


def extended(panel: Any, count: int) -> None:
    """Waits for the result of so many frames."""
    expect(panel.locator(".progress.done .result")).to_contain_text(f"{count} frames at 16 fps")


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_one_click_makes_one_video_and_another_goes_on_from_that(visit: Any, modes: str, size: Any) -> None:
    page = visit(modes, size)
    made, more = page.locator(".page-t2v"), page.locator(".page-i2v")
    expect(made.locator("button.extend")).to_be_hidden()
    generate(made)
    first = frames(page, made)
    made.get_by_role("button", name="Extend").click()
    expect(more).to_be_visible()
    extended(more, MADE + ADDED)
    expect(more.locator(".prompt textarea")).to_have_value(PROMPT)
    both = frames(page, more)
    assert both.shape == (MADE + ADDED, *first.shape[1:])
    # The given part is the clip that was given, as near as another encoding comes; and nothing jumps at the seam.
    assert np.abs(both[:MADE].astype(int) - first).mean() < 3
    steps = np.abs(np.diff(both.astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert steps[MADE - 1] < 3 * steps[: MADE - 1].max() + 2
    expect(more.locator(".progress.done .notice", has_text="Colours drift")).to_be_visible()
    assert abs(more.locator(".result-video video").evaluate(PLAYS) - (MADE + ADDED) / 16) < 0.1
    more.get_by_role("button", name="Extend").click()
    extended(more, MADE + 2 * ADDED)
    again = frames(page, more)
    assert len(again) == MADE + 2 * ADDED and np.abs(again[: len(both)].astype(int) - both).mean() < 3
    expect(more.locator(".label-card").first).to_contain_text("adds 1.0 s to 2.1 s")
    # A menu closes when the page is scrolled, as it is to a button that is out of sight.
    more.locator("button.send").evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    more.locator("button.send").evaluate(DRAWN)
    send(page, "i2v", "vace", "Go on from its end")
    expect(page.locator(".page-vace #vace-source video")).to_be_visible()


def test_what_vace_made_goes_on_in_vace_from_how_it_moves(visit: Any, modes: str) -> None:
    page = visit(modes)
    page.evaluate("window.wanStudio.go('vace')")
    panel = page.locator(".page-vace")
    panel.locator(".examples button", has_text="Recolour").click()
    expect(panel.locator(".todo")).to_have_count(0)
    panel.get_by_role("button", name="Generate", exact=True).click()
    extended(panel, MADE)
    first = frames(page, panel)
    panel.get_by_role("button", name="Extend").click()
    extended(panel, MADE + MADE - 5)  # five of its frames are seen, and stay as they are
    assert np.abs(frames(page, panel)[:MADE].astype(int) - first).mean() < 3


def test_the_page_of_a_mode_extends_by_itself(visit: Any, modes: str) -> None:
    page = visit(f"{modes}/i2v/")
    page.locator(".examples button").first.click()
    expect(page.locator(".todo")).to_have_count(0)
    page.get_by_role("button", name="Generate", exact=True).click()
    extended(page.locator(".output"), MADE)
    page.get_by_role("button", name="Extend").click()
    extended(page.locator(".output"), MADE + ADDED)
    other = visit(f"{modes}/t2v/")
    expect(other.get_by_role("button", name="Extend")).to_have_count(0)
