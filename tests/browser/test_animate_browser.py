"""A person at Animate: the intermediate videos before and after a job, a stop that is gone on from, Send to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests import fleet as fleets
from tests.browser.hands import send, typed
from tests.common import fakes
from tests.spaces import media_for_modes as media

SHOWN = ("pose", "face", "background", "mask")


def opened(visit: Any, address: str, size: tuple[int, int] = (1440, 900)) -> Any:
    return visit(f"{address}/animate/", size)


def example(page: Any, name: str) -> None:
    page.get_by_role("button", name=name).click()
    expect(page.locator(".todo")).to_have_count(0)


def steps(page: Any, count: int) -> None:
    """Fewer than usual, set under Advanced, which stays open."""
    page.get_by_role("button", name="Advanced").click()
    typed(page.get_by_label("number input for Steps"), str(count))
    expect(page.locator("div.block.label")).to_contain_text(f"{count} steps")


def pick(page: Any, name: str) -> None:
    page.locator("label:visible:has(input[type=radio])", has=page.get_by_text(name, exact=True)).last.click()


def upload(page: Any, scope: str, path: Path) -> None:
    page.locator(f"{scope} input[type=file]").first.set_input_files(str(path))


def clip(page: Any, name: str) -> Any:
    return page.locator(f"#animate-{name}-shown video")


def plays(video: Any, width: int, height: int) -> None:
    expect(video).to_have_attribute("src", re.compile("mp4"))
    expect(video).to_have_js_property("videoWidth", width)
    expect(video).to_have_js_property("videoHeight", height)


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_the_four_intermediate_videos_are_seen_before_generate(visit: Any, address: str, size: Any) -> None:
    page = opened(visit, address, size)
    example(page, "Square in the scene")
    expect(page.locator("label.selected", has_text="Replace (keeps the scene)")).to_be_visible()
    page.locator("#animate-prepare").click()
    for name in SHOWN:
        plays(clip(page, name), *((512, 512) if name == "face" else (128, 128)))
        expect(clip(page, name)).to_be_visible()
    expect(page.locator("#animate-outputs")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "no sideways scroll"
    assert not page.locator(".progress.done").count(), "nothing was generated"


def test_a_finished_job_shows_what_it_was_made_from(visit: Any, address: str) -> None:
    page = opened(visit, address)
    example(page, "Star, driven")
    page.get_by_role("button", name="Processing outputs").click()
    expect(page.locator("#animate-outputs")).to_contain_text("is shown here")
    steps(page, 4)
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_contain_text("4 steps × 2 segments")
    expect(page.locator(".progress.done")).to_contain_text("from image, video")
    for name in SHOWN[:2]:
        plays(clip(page, name), *((512, 512) if name == "face" else (128, 128)))
    for name in SHOWN[2:]:
        expect(clip(page, name)).to_be_hidden()


def test_a_job_stopped_after_its_first_segment_goes_on_from_there(visit: Any, address: str) -> None:
    page = opened(visit, address)
    example(page, "Star, driven")
    steps(page, 12)
    page.get_by_role("button", name="Generate", exact=True).click()
    strip = page.locator(".output > .card .progress, .progress").first
    expect(strip).to_contain_text(re.compile("(S|s)egment 2 of 2"))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".progress.stopped")).to_contain_text(
        "1 of 2 segments is kept; Generate again goes on from there."
    )
    seed = page.get_by_label("number input for Seed").input_value()
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_contain_text(f"seed {seed}")
    expect(page.locator(".progress.done")).to_contain_text("1 of 2 segments were there from before")


def test_a_single_frame_is_no_performance(visit: Any, address: str, tmp_path: Path) -> None:
    page = opened(visit, address)
    example(page, "Star, driven")
    page.locator(".inputs video").first.wait_for()
    page.get_by_label("Clear").last.click()
    fakes.clip(tmp_path / "one.mp4", 128, 128, 1, 30)
    upload(page, ".inputs .block:has([data-testid=video])", tmp_path / "one.mp4")
    expect(page.locator(".broken")).to_contain_text("must have at least 2 frames, more than the 1")


def test_the_size_takes_its_shape_from_the_driving_video(visit: Any, address: str, tmp_path: Path) -> None:
    page = opened(visit, address)
    expect(page.locator("div.block.label")).to_contain_text("128×128")
    fakes.clip(tmp_path / "tall.mp4", 180, 320, 60, 30)
    upload(page, ".inputs .block:has([data-testid=video])", tmp_path / "tall.mp4")
    expect(page.locator("div.block.label")).to_contain_text("128×192 · 2.0 s")
    expect(page.locator("div.block.label")).to_contain_text("× 4 segments")  # 17 + 3 * 16 = 65


def test_own_videos_take_the_place_of_a_driving_video(visit: Any, address: str, tmp_path: Path) -> None:
    page = opened(visit, address)
    upload(page, "#animate-image-picture", Path(media.picture(tmp_path / "a.png")["path"]))
    expect(page.locator(".todo")).to_have_text("Still needed: driving video")
    page.get_by_role("button", name="Intermediate videos of your own").click()
    expect(page.locator("#animate-mask_video")).to_be_hidden()
    fakes.clip(tmp_path / "pose.mp4", 128, 128, 20, 30)
    fakes.clip(tmp_path / "face.mp4", 128, 128, 20, 30)
    upload(page, "#animate-pose_video", tmp_path / "pose.mp4")
    upload(page, "#animate-face_video", tmp_path / "face.mp4")
    expect(page.locator(".todo")).to_have_count(0)
    pick(page, "Replace (keeps the scene)")
    expect(page.locator("#animate-mask_video")).to_be_visible()
    expect(page.locator(".todo")).to_have_text("Still needed: driving video")


def test_a_result_becomes_driving_video_and_a_frame_of_it_character(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    panel, animate = page.locator(".page-t2v"), page.locator(".page-animate")
    panel.locator(".prompt textarea").fill("a red circle moving right on a black background")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".result-video video")).to_have_attribute("src", re.compile("mp4"))
    send(page, "t2v", "animate", "Drive a character")
    expect(animate.locator(".todo")).to_have_text("Still needed: character")
    page.locator(".nav [data-page=t2v]").click()
    send(page, "t2v", "animate", "Last frame as character")
    expect(animate.locator("#animate-image-clip video")).to_be_visible()
    expect(animate.locator(".todo")).to_have_count(0)
    animate.get_by_role("button", name="Generate", exact=True).click()
    expect(animate.locator(".result-video video")).to_have_attribute("src", re.compile("mp4"))
    send(page, "animate", "vace", "Go on from its end")
    expect(page.locator(".page-vace #vace-source video")).to_be_visible()


def test_what_a_model_cannot_do_is_not_there(visit: Any, tmp_path: Path) -> None:
    port = fleets.free_port()
    modes = ["--modes", "t2v", "animate", "--router", "--weights", "wan"]
    server = fleets.start(port, *modes, env={"GRADIO_TEMP_DIR": str(tmp_path), "WAN_WEIGHTS": "wan"})
    try:
        page = visit(f"http://127.0.0.1:{port}/")
        page.evaluate("window.wanStudio.go('animate')")
        panel = page.locator(".page-animate")
        label = panel.locator("div.block.label")
        expect(label).to_contain_text("832×480")
        pick(page, "Medium (720p)")
        expect(label).to_contain_text("1280×720")
        pick(page, "Replace (keeps the scene)")
        expect(panel.get_by_text("The character takes the place")).to_be_visible()
        gone = [
            panel.get_by_text("Replace (keeps the scene)"), panel.get_by_text("Medium (720p)"),
            panel.locator("#animate-prepare"), panel.locator("#animate-outputs"),
            panel.get_by_role("button", name="Intermediate videos of your own"),
        ]  # fmt: skip
        for part in gone:
            expect(part).to_be_visible()
        for name, there in (("Wan 2.2 Animate-2-14B", False), ("Wan 2.2 Animate-14B", True)):
            panel.get_by_label("Model").first.click()
            page.get_by_role("option", name=name, exact=True).click()
            for part in gone:
                expect(part).to_be_visible(visible=there)
            # Of the model's own sizes the nearest: that of the one before is none of them.
            expect(label).to_contain_text("832×480")
    finally:
        fleets.end(server)
