"""A person in the Studio: chains, neighbours, a mode that dies, gating, a phone, a dropped file."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.dropping import drop
from tests.browser.hands import send
from tests.fleet import end, free_port, start

PROMPT = "a red circle moving right on a black background"


def generate(page: Any, mode: str, prompt: str = PROMPT) -> None:
    page.locator(f".page-{mode} .prompt textarea").fill(prompt)
    page.locator(f".page-{mode} .actions button", has_text="Generate").click()


def done(page: Any, mode: str) -> None:
    expect(page.locator(f".page-{mode} .progress.done")).to_be_visible()


def go(page: Any, mode: str) -> None:
    page.locator(f".nav [data-page={mode}]").click()


def quality(page: Any) -> None:
    page.locator(".studio-header .preset label", has_text="Quality").click()
    expect(page.locator(".page-t2v .label-card")).to_contain_text("24 steps")


def ready(page: Any, mode: str) -> None:
    """The row of a mode is not greyed: its manifest has been read."""
    expect(page.locator(f".nav [data-page={mode}]")).not_to_have_class(re.compile(r"\boff\b"))


def test_browser_studio_chains_text_to_image_to_video_without_moving_a_byte(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    ready(page, "t2v")
    before = page.locator(".page-t2v .stage").bounding_box()
    generate(page, "t2v")
    expect(page.locator(".page-t2v .progress")).to_contain_text(re.compile(r"Step \d of 4"))
    done(page, "t2v")
    assert page.locator(".page-t2v .stage").bounding_box() == before, "the page jumped"
    send(page, "t2v", "i2v", "Continue from the last frame")
    expect(page.locator(".nav [data-page=i2v]")).to_have_class(re.compile(r"\bhere\b"))
    expect(page.locator(".page-i2v .slot label.selected", has_text="Last")).to_be_visible()
    generate(page, "i2v", "it moves on")
    done(page, "i2v")
    go(page, "gallery")
    expect(page.locator(".page-gallery figure")).to_have_count(2)
    expect(page.locator(".page-gallery figcaption").first).to_contain_text("I2V it moves on")
    shown = page.locator(".page-gallery video").first
    page.wait_for_function("() => document.querySelector('.page-gallery video').readyState >= 2")
    assert shown.evaluate("v => v.duration") > 0.5
    go(page, "settings")
    expect(page.locator(".page-settings")).to_contain_text("(0.0 MB through this router)")
    expect(page.locator(".page-settings")).to_contain_text(re.compile(r"[1-9]\d* by path"))
    go(page, "t2v")
    page.locator(".page-t2v .prompt textarea").fill("something else")
    go(page, "gallery")
    page.locator(".page-gallery [data-again]").last.click()
    expect(page.locator(".nav [data-page=t2v]")).to_have_class(re.compile(r"\bhere\b"))
    expect(page.locator(".page-t2v .prompt textarea")).to_have_value(PROMPT)


@pytest.mark.slow
def test_browser_studio_one_visitor_stops_the_other_finishes(visit: Any, fleet: str) -> None:
    first, second = visit(fleet), visit(fleet)
    ready(first, "t2v")
    quality(first)  # 24 steps: long enough to be stopped
    generate(first, "t2v")
    expect(first.locator(".page-t2v .progress")).to_contain_text(re.compile(r"Step \d+ of 24"))
    generate(second, "t2v", "a blue square growing on a gray background")
    first.locator(".page-t2v .actions button", has_text="Stop").dispatch_event("click")
    expect(first.locator(".page-t2v .progress.stopped")).to_be_visible()
    done(second, "t2v")
    generate(first, "t2v")  # and the first can go on
    done(first, "t2v")


@pytest.mark.slow
def test_browser_studio_generation_and_preset_gate_modes_and_models(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    ready(page, "t2v")
    model = page.locator(".page-t2v").get_by_label("Model").first
    expect(model).to_have_value("Wan 2.2 T2V-A14B (MoE)")
    page.locator(".studio-header .generation input").click()
    page.get_by_role("option", name="Wan 2.1").click()
    expect(model).to_have_value("Wan 2.1 T2V-14B")
    expect(page.locator(".page-t2v .label-card")).to_contain_text("4 steps")
    quality(page)
    expect(page.locator(".nav [data-page=s2v]")).to_contain_text("no Wan 2.1 here; runs Wan 2.2")


@pytest.mark.slow
def test_browser_studio_on_a_phone(visit: Any, fleet: str) -> None:
    page = visit(fleet, (390, 844))
    ready(page, "t2v")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, f"sideways scroll: {wide}"
    field = page.locator(".page-t2v .prompt textarea")
    expect(field).to_be_in_viewport()
    field.click()  # nothing lies over it
    generate(page, "t2v")
    done(page, "t2v")
    expect(page.locator(".page-t2v .stage")).to_be_in_viewport()
    page.locator(".sidebar .toggle-button").click()
    go(page, "i2v")
    expect(page.locator(".page-i2v .heading").first).to_be_in_viewport()


@pytest.mark.slow
def test_browser_studio_a_dropped_video_refills_its_panel(visit: Any, fleet: str, tmp_path: Path) -> None:
    from common.contract import Backend, Lineage
    from common.modes.all import MODES
    from tests.common.fakes import clip

    mode = MODES["i2v"]
    request = {
        "prompt": "the star spins",
        "checkpoint": "wan2.1-i2v-14b-480p",
        "preset": "quality",
        "seed": 4711,
    }
    parsed = mode.parse({**request, "image": {"path": "x.png"}, "num_frames": 9})
    plan = mode.plan(parsed, Backend())
    lineage = Lineage(request=request, plan=plan, seed=4711, versions={}, git_sha="", created="")
    file = tmp_path / "clip.mp4"
    clip(file, 64, 64, 5, 16, comment=lineage.model_dump_json())
    page = visit(fleet)
    ready(page, "i2v")
    drop(page, file)
    expect(page.locator(".nav [data-page=i2v]")).to_have_class(re.compile(r"\bhere\b"))
    panel = page.locator(".page-i2v")
    expect(panel.locator(".prompt textarea")).to_have_value("the star spins")
    expect(panel.get_by_label("Model").first).to_have_value("Wan 2.1 I2V-14B-480P")
    expect(page.locator(".studio-header .preset label.selected")).to_have_text("Quality")
    expect(panel.locator(".label-card")).to_contain_text("24 steps")


@pytest.mark.slow
def test_browser_studio_survives_a_mode_that_dies_and_sees_it_return(visit: Any, tmp_path: Path) -> None:
    cache = {"GRADIO_TEMP_DIR": str(tmp_path)}
    ports = free_port(), free_port()
    table = {"t2v": f"http://127.0.0.1:{ports[0]}/t2v/"}
    mode = start(ports[0], "--modes", "t2v", "--pause", "4", env=cache)  # the job outlives a slow browser
    router = start(ports[1], "--router", env=cache | {"WAN_FEDERATION": json.dumps(table)})
    try:
        page = visit(f"http://127.0.0.1:{ports[1]}/")
        ready(page, "t2v")
        generate(page, "t2v")
        expect(page.locator(".page-t2v .progress")).to_contain_text(re.compile(r"Step \d of 4"))
        mode.send_signal(signal.SIGKILL)
        mode.wait(10)
        error = page.locator(".page-t2v .screen .error")
        expect(error).to_contain_text("Text to Video")  # at once, or when it has been silent too long
        expect(page.locator(".page-t2v .prompt textarea")).to_have_value(PROMPT)
        row = page.locator(".nav [data-page=t2v]")
        expect(row).to_have_class(re.compile(r"\boff\b"))
        expect(row).to_contain_text("cannot be reached")
        mode = start(ports[0], "--modes", "t2v", "--pause", "0.05", env=cache)
        ready(page, "t2v")
        generate(page, "t2v")
        done(page, "t2v")
    finally:
        end(mode)
        end(router)
