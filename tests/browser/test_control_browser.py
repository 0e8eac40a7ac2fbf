"""A person at FLF2V, V2V and VACE: inputs that reshape, a drawn mask, the control's preview, Send to."""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests import fleet
from tests.browser.hands import send, typed, unfold
from tests.common import fakes
from tests.spaces import media_for_modes as media

WAIT = int(os.environ.get("WAN_TEST_WAIT", "120000"))
PROMPT = "a red circle moving right on a black background"
SHOTS = os.environ.get("WAN_SCREENSHOTS")


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(WAIT)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    yield page
    page.close()
    assert not problems


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def upload(page: Any, scope: Any, path: str | Path) -> None:
    scope.locator("input[type=file]").first.set_input_files(str(path))


def pick(page: Any, name: str) -> None:
    """Chooses an entry of a radio; its input is out of sight, so the label is clicked."""
    page.locator("label:visible:has(input[type=radio])", has=page.get_by_text(name, exact=True)).last.click()


def result(page: Any) -> Any:
    return page.locator(".result-video video")


def generate(page: Any) -> None:
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_be_visible(timeout=WAIT)
    expect(result(page)).to_have_attribute("src", re.compile("mp4"), timeout=WAIT)


def test_flf2v_needs_both_frames_and_takes_its_shape_from_the_first(page: Any, address: str, tmp_path: Path):
    media.frame().resize((192, 128)).save(tmp_path / "wide.png")
    page.goto(f"{address}/flf2v/")
    expect(page.get_by_text("AR locked from the start frame")).to_be_visible()
    page.get_by_label("Transition prompt").fill(PROMPT)
    expect(page.locator(".todo")).to_contain_text("start frame, end frame")
    upload(page, page.locator(".slot").first, tmp_path / "wide.png")
    expect(page.locator("div.block.label")).to_contain_text("192×128", timeout=WAIT)
    upload(page, page.get_by_role("tabpanel"), media.picture(tmp_path / "b.png", 40)["path"])
    expect(page.locator(".todo")).to_have_count(0, timeout=WAIT)
    generate(page)
    expect(page.locator("div.block.card")).to_contain_text("from image, last_image")
    shot(page, "flf2v")


def test_flf2v_says_where_stills_come_from(page: Any, address: str):
    page.goto(f"{address}/flf2v/")
    page.get_by_role("tab", name="Generate").click()
    page.get_by_label("End frame", exact=True).last.fill("a red circle on a black background")
    page.get_by_role("button", name="Make the end frame").click()
    expect(page.get_by_text("open the Studio")).to_be_visible()


def test_v2v_is_as_long_as_the_clip(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/v2v/")
    page.get_by_label("New look").fill(PROMPT)
    pick(page, "Quality")
    upload(page, page.locator(".inputs"), media.clip(tmp_path / "c.mp4", 9)["path"])
    expect(page.locator(".todo")).to_have_count(0, timeout=WAIT)
    generate(page)
    expect(page.locator("div.block.card")).to_contain_text("9 frames at 16 fps")
    shot(page, "v2v")


def test_v2v_takes_its_shape_from_the_clip(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/v2v/")
    expect(page.locator("div.block.label")).to_contain_text("128×128")
    fakes.clip(tmp_path / "wide.mp4", 320, 180, 9, 16)
    upload(page, page.locator(".inputs"), tmp_path / "wide.mp4")
    expect(page.locator("div.block.label")).to_contain_text("192×128", timeout=WAIT)


def test_vace_takes_its_shape_from_the_clip(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/vace/")
    unfold(page)
    fakes.clip(tmp_path / "tall.mp4", 180, 320, 9, 16)
    upload(page, page.locator("#vace-source"), tmp_path / "tall.mp4")
    expect(page.locator("div.block.label")).to_contain_text("128×192", timeout=WAIT)


def test_a_clip_that_the_browser_cannot_play_is_no_error(page: Any, address: str, tmp_path: Path):
    fakes.clip(tmp_path / "old.mp4", 128, 128, 9, 16, codec="mpeg4")
    # A toast goes by itself: what matters is whether there ever was one.
    page.add_init_script("""
        new MutationObserver(() => { if (document.querySelector('.toast-body')) window.toasted = true; })
            .observe(document, {childList: true, subtree: true});
    """)
    page.goto(f"{address}/v2v/")
    upload(page, page.locator(".inputs"), tmp_path / "old.mp4")
    slot = page.locator(".inputs .unshown")
    expect(slot).to_be_visible(timeout=WAIT)
    says = "e => getComputedStyle(e.querySelector('[data-testid=video]'), '::after').content"
    assert "the model can read it all the same" in slot.evaluate(says)
    expect(page.locator(".todo")).not_to_contain_text("source video", timeout=WAIT)
    assert not page.evaluate("window.toasted")


def test_v2v_refuses_a_strength_that_changes_nothing(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/v2v/")
    slider = page.get_by_label("number input for Strength")
    slider.fill("0.2")
    slider.press("Tab")
    expect(page.locator(".broken")).to_contain_text("Strength x Steps must be at least 1")


def test_vace_inputs_reshape_with_the_submode(page: Any, address: str):
    page.goto(f"{address}/vace/")
    unfold(page)
    expect(page.get_by_text("Mask: white is made anew")).to_be_visible()
    pick(page, "Outpaint")
    expect(page.get_by_text("Grow left")).to_be_visible()
    expect(page.get_by_text("Mask: white is made anew")).to_be_hidden()
    shot(page, "vace-outpaint")
    pick(page, "Extend")
    expect(page.get_by_text("First frame", exact=True).first).to_be_visible()
    expect(page.get_by_text("Source video", exact=True)).to_be_hidden()
    expect(page.locator(".todo")).to_contain_text("first frame")
    pick(page, "First and last frame")
    expect(page.get_by_text("Fills in between two pictures.")).to_be_visible()
    pick(page, "Composite")
    pick(page, "Swap anything")
    expect(page.get_by_text("Mask source")).to_be_visible()
    pick(page, "Label")
    expect(page.get_by_label("Name of the thing")).to_be_visible()
    expect(page.locator("div.block.label")).to_contain_text("Grounding DINO")
    shot(page, "vace-swap")


def paint(page: Any, pad: str) -> None:
    """A stroke from the middle of an opened pad, to the right and down."""
    canvas = page.locator(f"{pad} canvas").first
    expect(canvas).to_be_visible(timeout=WAIT)
    canvas.evaluate(
        "canvas => canvas.scrollIntoView({block: 'center'})"
    )  # a person scrolls it clear of Generate
    page.wait_for_timeout(1500)  # the pad takes no stroke at first, and says nothing when it does
    box = canvas.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 30, y)
    page.mouse.down()
    for step in range(12):
        page.mouse.move(x - 30 + 5 * step, y + 2 * step)
    page.mouse.up()
    page.wait_for_timeout(1000)


def draw_box(page: Any, name: str) -> list[float]:
    """Draws a box about the middle of its frame and takes it over; the box in words."""
    page.locator(f"#vace-{name}-draw").click()
    paint(page, f"#vace-{name}-editor")
    page.locator(f"#vace-{name}-use").click()
    expect(page.locator(f"#vace-{name}-editor")).to_have_count(0, timeout=WAIT)
    field = page.get_by_label("Box at the end" if name == "bbox_to" else "Box", exact=True).last
    expect(field).to_have_value(re.compile(r"\d"), timeout=WAIT)
    box = [float(share) for share in field.input_value().split(",")]
    assert box[0] < 0.5 < box[2] and box[1] < 0.55 < box[3] and box[2] - box[0] < 0.6
    return box


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_vace_box_is_drawn_where_it_is_asked_for(
    page: Any, address: str, tmp_path: Path, size: tuple[int, int]
):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"{address}/vace/")
    unfold(page)
    pick(page, "Box")
    fakes.clip(tmp_path / "wide.mp4", 320, 180, 9, 16)
    page.locator("#vace-bbox-draw").click()
    expect(page.locator(".shaped .notice")).to_contain_text("Give what is drawn on first")
    upload(page, page.locator("#vace-source"), tmp_path / "wide.mp4")
    expect(page.locator("div.block.label")).to_contain_text("192×128", timeout=WAIT)
    page.locator("#vace-bbox-use").click()
    expect(page.locator(".shaped .notice")).to_contain_text("Nothing is painted yet")
    draw_box(page, "bbox")
    expect(page.locator(".todo")).not_to_contain_text("box", timeout=WAIT)
    shot(page, f"vace-box-{size[0]}")


def test_vace_box_is_drawn_on_what_the_submode_has(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/vace/")
    unfold(page)
    pick(page, "Layout")  # nothing to draw on but the empty frame
    draw_box(page, "bbox")
    draw_box(page, "bbox_to")
    expect(page.locator(".todo")).to_have_text("Still needed: prompt", timeout=WAIT)
    pick(page, "Composite")
    pick(page, "Move anything")
    media.frame().resize((192, 128)).save(tmp_path / "a.png")
    upload(page, page.locator("#vace-image-picture"), tmp_path / "a.png")
    expect(page.locator("#vace-image-picture img")).to_be_visible(timeout=WAIT)
    draw_box(page, "bbox")
    pick(page, "Reference")
    expect(page.locator("#vace-references")).to_be_visible(timeout=WAIT)  # its own menu is there now
    pick(page, "Box")
    upload(page, page.locator("#vace-references"), tmp_path / "a.png")
    expect(page.locator("#vace-references .thumbnail-item img").first).to_be_visible(timeout=WAIT)
    draw_box(page, "bbox")
    shot(page, "vace-box-reference")


def test_vace_mask_is_drawn_previewed_and_used(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/vace/")
    unfold(page)
    page.get_by_label("Prompt").first.fill(PROMPT)
    upload(page, page.locator("#vace-source"), media.clip(tmp_path / "c.mp4", 5)["path"])
    expect(page.locator("#vace-source video")).to_have_js_property("videoWidth", 128, timeout=WAIT)
    page.locator("#vace-source-draw").click()
    paint(page, "#vace-source-editor")
    shot(page, "vace-drawn")
    page.locator("#vace-source-use").click()
    expect(page.locator(".todo")).to_have_count(0, timeout=WAIT)
    page.locator("#vace-prepare").click()
    expect(page.locator("#vace-mask video")).to_have_attribute("src", re.compile("mp4"), timeout=WAIT)
    shot(page, "vace-prepared")
    generate(page)
    expect(page.locator("div.block.card")).to_contain_text("from video, mask")
    shot(page, "vace")


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_vace_mask_is_drawn_on_the_frame_that_somebody_chose(
    page: Any, address: str, tmp_path: Path, size: tuple[int, int]
):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(f"{address}/vace/")
    unfold(page)
    pick(page, "Track from mask")
    upload(page, page.locator("#vace-source"), media.clip(tmp_path / "c.mp4", 17)["path"])
    video, second = page.locator("#vace-source video"), page.locator("#vace-source-second input")
    expect(video).to_have_js_property("videoWidth", 128, timeout=WAIT)
    typed(second, "0.5")
    page.wait_for_function("() => document.querySelector('#vace-source video').currentTime === 0.5")
    page.locator("#vace-source-draw").click()
    paint(page, "#vace-source-editor")
    page.locator("#vace-source-use").click()
    expect(second).to_have_value("0.5")
    # The playhead says so as well.
    video.evaluate("v => { v.currentTime = 0.8; }")
    page.wait_for_function("() => document.querySelector('#vace-source video').currentTime === 0.8")
    page.locator("#vace-source-draw").click()
    expect(second).to_have_value("0.8")
    shot(page, "vace-mask-moment")
    typed(second, "7")
    page.get_by_label("Prompt").first.fill(PROMPT)
    page.get_by_role("button", name="Generate", exact=True).click()
    said = page.locator(".error, .label-card.broken").locator("visible=true").first
    expect(said).to_contain_text("must lie within")


def test_vace_preflight_names_what_is_missing(page: Any, address: str, tmp_path: Path):
    page.goto(f"{address}/vace/")
    unfold(page)
    pick(page, "Control")
    page.get_by_label("Prompt").first.fill(PROMPT)
    pick(page, "Depth")
    upload(page, page.locator("#vace-source"), media.clip(tmp_path / "c.mp4", 5)["path"])
    page.locator("#vace-prepare").click()
    expect(page.get_by_text("MiDaS DPT-Hybrid (depth) is not on this machine")).to_be_visible(timeout=WAIT)


def test_send_to_fills_the_right_slot(page: Any, address: str):
    page.goto(address)
    page.locator('button[data-page="t2v"]').first.click()
    panel = page.locator(".page-t2v")
    panel.get_by_label("Prompt").first.fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible(timeout=WAIT)
    send(page, "t2v", "vace", "Go on from its end")
    vace = page.locator(".page-vace")
    expect(vace.locator("#vace-source video")).to_be_visible(timeout=WAIT)
    expect(vace.locator(".step-what .sum")).to_have_text("Extend · First clip")
    shot(page, "send-to-vace")
    page.locator('button[data-page="t2v"]').first.click()
    send(page, "t2v", "flf2v", "Go on from the last frame")
    flf2v = page.locator(".page-flf2v")
    expect(flf2v.locator(".slot video").first).to_be_visible(timeout=WAIT)


def seen(video: Any) -> np.ndarray:
    """What a video element shows now, small enough to compare."""
    url = video.evaluate("""v => {
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 32;
        canvas.getContext('2d').drawImage(v, 0, 0, 32, 32);
        return canvas.toDataURL();
    }""")
    content = base64.b64decode(url.partition(",")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), dtype=float)


def stands_at(page: Any, video: Any, share: float) -> None:
    """Waits until a video has come to rest at a share of its length."""
    expect(video).to_be_visible(timeout=WAIT)
    page.wait_for_function(
        "([v, share]) => v.readyState >= 2 && !v.seeking && Math.abs(v.currentTime - share * v.duration) < 0.05",
        arg=[video.element_handle(), share],
    )


def test_a_slot_shows_the_frame_that_it_takes(page: Any, address: str):
    page.goto(address)
    page.locator('button[data-page="t2v"]').first.click()
    panel, flf2v = page.locator(".page-t2v"), page.locator(".page-flf2v")
    panel.get_by_label("Prompt").first.fill(PROMPT)
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible(timeout=WAIT)
    send(page, "t2v", "flf2v", "Go on from the last frame")
    start, end = (flf2v.locator(f"#flf2v-{name}-clip video") for name in ("image", "last_image"))
    stands_at(page, start, 1)
    expect(flf2v.locator(".moment").first).to_contain_text("Last frame of ")
    page.locator('button[data-page="t2v"]').first.click()
    send(page, "t2v", "flf2v", "Lead up to the first frame")
    stands_at(page, end, 0)
    expect(flf2v.locator(".moment").last).to_contain_text("First frame of ")
    expect(flf2v.get_by_text("seconds")).to_have_count(0)  # what the browser measured is no part of the page
    shot(page, "flf2v-frames")
    last, first = seen(start), seen(end)
    assert np.abs(last - first).mean() > 5, "two frames of a moving circle look alike"
    flf2v.locator(".slot").first.get_by_text("First", exact=True).click()
    stands_at(page, start, 0)
    assert np.abs(seen(start) - first).mean() < 1
    flf2v.locator(".slot").first.get_by_text("At second", exact=True).click()
    flf2v.locator(".slot").first.get_by_label("Second", exact=True).fill("0.5")
    page.wait_for_function("v => Math.abs(v.currentTime - 0.5) < 0.01", arg=start.element_handle())
    expect(flf2v.locator(".moment").first).to_contain_text("Frame at 0.5 s of ")


def test_end_frame_is_made_by_text_to_video_in_the_studio(page: Any, address: str, tmp_path: Path):
    media.frame().resize((192, 128)).save(tmp_path / "wide.png")
    page.goto(address)
    page.locator('button[data-page="flf2v"]').first.click()
    panel = page.locator(".page-flf2v")
    panel.get_by_label("Transition prompt").fill(PROMPT)
    upload(page, panel.locator(".slot").first, tmp_path / "wide.png")
    expect(panel.locator("div.block.label")).to_contain_text("192×128", timeout=WAIT)
    panel.get_by_role("tab", name="Generate").click()
    panel.get_by_label("End frame", exact=True).last.fill("a red circle on a black background")
    panel.get_by_role("button", name="Make the end frame").click()
    expect(panel.get_by_text("The end frame is under Upload.")).to_be_visible(timeout=WAIT)
    panel.get_by_role("tab", name="Upload").click()
    still = panel.get_by_role("tabpanel").locator("video")
    expect(still).to_have_js_property("videoWidth", 192, timeout=WAIT)
    expect(panel.locator(".todo")).to_have_count(0, timeout=WAIT)
    shot(page, "flf2v-end-frame")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible(timeout=WAIT)
    expect(panel.locator("div.block.card")).to_contain_text("192×128")
    expect(panel.locator("div.block.card")).to_contain_text(
        "from image, t2v"
    )  # the end frame knows its maker


def test_end_frame_can_be_stopped(page: Any, tmp_path: Path):
    port = fleet.free_port()
    slow = ["--modes", "t2v", "flf2v", "--router", "--pause", "60"]  # it ends when it is stopped
    server = fleet.start(port, *slow, env={"GRADIO_TEMP_DIR": str(tmp_path)})
    try:
        page.goto(f"http://127.0.0.1:{port}/")
        page.locator('button[data-page="flf2v"]').first.click()
        panel = page.locator(".page-flf2v")
        panel.get_by_role("tab", name="Generate").click()
        panel.get_by_label("End frame", exact=True).last.fill(PROMPT)
        make = panel.get_by_role("button", name="Make the end frame")
        maker = panel.get_by_role("tabpanel")
        make.click()
        expect(maker.locator(".progress")).to_contain_text("Loading the model", timeout=WAIT)
        expect(make).to_be_disabled()
        shot(page, "flf2v-end-frame-at-work")
        maker.get_by_role("button", name="Stop").click()
        expect(maker.locator(".progress.stopped")).to_be_visible(timeout=WAIT)
        expect(make).to_be_enabled()
        expect(maker.get_by_role("button", name="Stop")).to_be_hidden()
    finally:
        fleet.end(server)
