"""A person at S2V: a sound that is uploaded, recorded, replaced and taken away; a speaker from another result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from common.speech import NANO_CLIPS
from tests.browser.hands import send, typed
from tests.browser.test_page_axe import everywhere
from tests.common.media import sound_files
from tests.spaces import media_for_modes as media

HEARD = "() => document.querySelector('.result-video video').webkitAudioDecodedByteCount"


def opened(visit: Any, fleet: str, size: tuple[int, int] = (1440, 900)) -> Any:
    return visit(f"{fleet}s2v/", size)


def slot(page: Any) -> Any:
    return page.locator("#s2v-audio")


def give(page: Any, path: Path) -> None:
    slot(page).locator("input[type=file]").set_input_files(str(path))


def duration(page: Any) -> Any:
    return page.get_by_label("Duration", exact=True)


def driven(seconds: str, frames: int) -> str:
    """What stands under Duration."""
    count = NANO_CLIPS.count(frames)
    return f"{seconds} s, driven by the audio: {frames} frames in {count} segment{'s' if count > 1 else ''}"


def sound(path: Path, seconds: float) -> Path:
    samples = sound_files.values(44_100, seconds=seconds)
    return sound_files.write(path, "pcm_s16le", 44_100, "s16", "mono", samples)


@pytest.mark.parametrize("size", [(1440, 900), (390, 844)], ids=["desk", "phone"])
def test_the_duration_follows_what_is_given_replaced_and_taken_away(
    visit: Any, fleet: str, tmp_path: Path, size: tuple[int, int]
) -> None:
    page = opened(visit, fleet, size)
    expect(page.locator(".todo")).to_contain_text("driving audio")
    give(page, sound(tmp_path / "short.wav", 2))
    expect(duration(page)).to_have_value(driven("2.0", 32))
    assert not duration(page).is_editable()
    expect(page.locator("div.block.label")).to_contain_text("2.0 s")
    expect(page.locator(".todo")).not_to_contain_text("driving audio")
    slot(page).get_by_label("Clear").click()
    expect(duration(page)).to_have_value("")
    expect(page.locator(".todo")).to_contain_text("driving audio")
    give(page, sound(tmp_path / "long.wav", 5.03))
    expect(duration(page)).to_have_value(driven("5.0", 81))
    page.get_by_role("button", name="Advanced").click()
    typed(page.get_by_label("Segments at most"), "2")
    most = 2 * NANO_CLIPS.frames - NANO_CLIPS.dropped
    expect(duration(page)).to_have_value(
        f"{most / 16:.1f} s of the audio's 5.0 s: {most} frames in 2 segments"
    )
    expect(page.locator("div.block.label")).to_contain_text("× 2 segments")
    typed(page.get_by_label("Segments at most"), "0")
    expect(duration(page)).to_have_value(driven("5.0", 81))
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0], "no sideways scroll"


def test_what_is_recorded_is_measured_and_generated_from(visit: Any, fleet: str, tmp_path: Path) -> None:
    page = opened(visit, fleet)
    page.locator("#s2v-image-picture input[type=file]").set_input_files(
        media.picture(tmp_path / "a.png")["path"]
    )
    page.locator(".prompt textarea").fill("a red square on a black background")
    slot(page).get_by_label("Record audio").click()
    slot(page).get_by_role("button", name="Record", exact=True).click()
    page.wait_for_timeout(1500)
    slot(page).locator("button:visible", has_text="Stop").click()
    expect(duration(page)).to_have_value(re.compile(r"^[1-9]\.\d s, driven by the audio: \d+ frames in \d"))
    expect(page.locator(".wrong p, .todo")).to_have_count(0)
    expect(page.locator(".notice")).to_have_count(0)
    frames = re.findall(r"(\d+) frames", duration(page).input_value())[0]
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_contain_text(
        re.compile(r"quality · 128×128 · \d+ frames at 16")
    )
    assert int(frames) >= 16


def test_a_picture_that_calls_itself_a_sound_is_told_in_one_line(
    visit: Any, fleet: str, tmp_path: Path
) -> None:
    page = opened(visit, fleet)
    media.picture(tmp_path / "a.png")
    give(page, (tmp_path / "a.png").rename(tmp_path / "photo.wav"))
    told = page.locator(".notice, .broken, .toast-body")
    expect(told).to_have_text("Driving audio is not a readable sound: 'photo.wav'; export it as WAV or MP3")
    expect(duration(page)).to_have_value("")
    slot(page).get_by_label("Clear").click()
    expect(told).to_have_count(0)


def test_axe_a_sound_that_is_there_and_one_that_is_recorded(visit: Any, fleet: str, tmp_path: Path) -> None:
    page = opened(visit, fleet)
    give(page, sound(tmp_path / "short.wav", 2))
    expect(duration(page)).to_have_value(re.compile("2.0 s"))
    expect(slot(page).locator("#duration")).to_have_text("0:02")
    assert not everywhere(page)
    slot(page).get_by_label("Clear").click()
    slot(page).get_by_label("Record audio").click()
    expect(slot(page).get_by_role("button", name="Record", exact=True)).to_be_visible()
    assert not everywhere(page)


def test_quality_is_all_there_is_and_said_once(visit: Any, fleet: str) -> None:
    page = opened(visit, fleet)
    expect(page.get_by_text("Quality only:")).to_have_count(1)
    expect(page.locator("div.block.label")).to_contain_text("8 steps")
    expect(page.get_by_text("Lightning unavailable")).to_have_count(0)
    expect(page.get_by_label("Preset")).to_be_hidden()


def test_a_frame_of_a_result_speaks_and_what_it_says_goes_on(visit: Any, fleet: str, tmp_path: Path) -> None:
    page = visit(fleet)
    page.locator(".nav [data-page=s2v]:not(.off)").wait_for()
    panel, speaker = page.locator(".page-t2v"), page.locator(".page-s2v")
    panel.locator(".prompt textarea").fill("a red circle on a black background")
    panel.get_by_role("button", name="Generate", exact=True).click()
    expect(panel.locator(".progress.done")).to_be_visible()
    send(page, "t2v", "s2v", "Last frame as speaker")
    expect(speaker.locator("#s2v-image-clip video")).to_be_visible()
    speaker.locator(".prompt textarea").fill("a red circle on a black background")
    give(page, sound(tmp_path / "short.wav", 2))
    expect(speaker.locator(".todo")).to_have_count(0)
    speaker.get_by_role("button", name="Generate", exact=True).click()
    expect(speaker.locator(".progress.done")).to_contain_text("wan2.2-s2v-14b")
    send(page, "s2v", "vace", "Go on from its end")
    expect(page.locator(".page-vace #vace-source video")).to_be_visible()


def test_a_wish_for_wan_2_1_leaves_s2v_on_wan_2_2(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    row = page.locator(".nav [data-page=s2v]:not(.off)")
    row.wait_for()
    page.locator(".studio-header .generation input").click()
    page.get_by_role("option", name="Wan 2.1").click()
    row = page.locator(".nav [data-page=s2v].off")
    expect(row).to_contain_text("no Wan 2.1 here; runs Wan 2.2")
    row.click()
    expect(page.locator(".studio-header .generation input")).to_have_value("Wan 2.2")


def test_a_speech_is_heard_with_its_video(visit: Any, address: str) -> None:
    page = visit(f"{address}/s2v/")
    page.locator(".examples button:visible").first.click()
    expect(page.locator(".todo")).to_have_count(0)
    expect(duration(page)).to_have_value(re.compile("2.[01] s, driven by the audio"))
    page.get_by_role("button", name="Advanced").click()
    typed(page.get_by_label("number input for Steps"), "4")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(page.locator(".progress.done")).to_contain_text("4 steps")
    expect(page.locator(".progress.done")).to_contain_text("from image, audio")
    video = page.locator(".result-video video")
    expect(video).to_have_js_property("videoWidth", 128)
    page.evaluate("document.querySelector('.result-video video').play()")
    page.wait_for_function(f"({HEARD})() > 0")
