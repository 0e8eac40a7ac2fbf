"""Settings of an earlier video come back, in the mode that made it and under its own generation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from common.contract import Backend, Lineage
from common.modes.all import MODES
from tests.browser.dropping import drop
from tests.common.fakes import clip


def here(page: Any, name: str) -> None:
    expect(page.locator(f".nav [data-page={name}]")).to_have_class(re.compile(r"\bhere\b"))


def model(page: Any, mode: str) -> Any:
    return page.locator(f".page-{mode}").get_by_label("Model").first


def wish(page: Any, name: str) -> None:
    generation = page.locator(".studio-header .generation input")
    expect(page.locator(".nav [data-page=t2v]")).not_to_have_class(re.compile(r"\boff\b"))
    generation.click()
    page.get_by_role("option", name=name).click()
    expect(page.locator(".nav [data-page=v2v]")).to_contain_text(f"no {name} here; runs Wan 2.1")


def still_wished(page: Any) -> None:
    page.locator(".nav [data-page=t2v]").click()
    expect(page.locator(".studio-header .generation input")).to_have_value("Wan 2.2")
    expect(model(page, "t2v")).to_have_value(re.compile("Wan 2.2"))


def test_use_again_opens_a_mode_that_lacks_the_generation_wished_for(visit: Any, fleet: str) -> None:
    page = visit(fleet)
    wish(page, "Wan 2.2")
    panel = page.locator(".page-v2v")
    page.locator(".nav [data-page=v2v]").click()
    panel.locator(".examples button:visible").first.click()
    expect(panel.locator(".todo")).to_have_count(0)
    prompt = panel.locator(".prompt textarea").input_value()
    panel.locator(".actions button.primary").click()
    expect(panel.locator(".progress.done")).to_be_visible()
    panel.locator(".prompt textarea").fill("something else")
    page.locator(".nav [data-page=t2v]").click()
    expect(model(page, "t2v")).to_have_value(re.compile("Wan 2.2"))
    page.locator(".nav [data-page=gallery]").click()
    page.locator(".page-gallery [data-again]").click()
    here(page, "v2v")
    expect(panel.locator(".prompt textarea")).to_have_value(prompt)
    expect(model(page, "v2v")).to_have_value("Wan 2.1 T2V-14B")
    expect(page.locator(".studio-header .generation input")).to_have_value("Wan 2.1")
    still_wished(page)


def test_a_dropped_video_opens_a_mode_that_lacks_the_generation_wished_for(
    visit: Any, fleet: str, tmp_path: Path
) -> None:
    mode = MODES["v2v"]
    request = {"prompt": "a blue square", "checkpoint": "wan2.1-t2v-1.3b", "preset": "quality", "seed": 4711}
    plan = mode.plan(mode.parse({**request, "video": {"path": "x.mp4"}, "num_frames": 9}), Backend())
    lineage = Lineage(request=request, plan=plan, seed=4711, versions={}, git_sha="", created="")
    file = tmp_path / "clip.mp4"
    clip(file, 64, 64, 5, 16, comment=lineage.model_dump_json())
    page = visit(fleet)
    wish(page, "Wan 2.2")
    drop(page, file)
    here(page, "v2v")
    expect(page.locator(".page-v2v .prompt textarea")).to_have_value("a blue square")
    expect(model(page, "v2v")).to_have_value("Wan 2.1 T2V-1.3B")
    expect(page.locator(".studio-header .preset label.selected")).to_have_text("Quality")
    expect(page.locator(".studio-header .generation input")).to_have_value("Wan 2.1")
    still_wished(page)


@pytest.mark.parametrize("content", ["text", "stranger"])
def test_a_file_that_is_no_studio_video_is_refused_in_words(
    visit: Any, fleet: str, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "clip.mp4"
    if content == "text":
        file.write_text("not a video at all")
    else:
        clip(file, 64, 64, 5, 16)
    page = visit(fleet)
    expect(page.locator(".page-t2v .stage")).to_be_visible()
    drop(page, file)
    expect(page.locator(".toast-body.error")).to_contain_text("was not made by Wan Studio")
