"""The Gallery as a visitor uses it: kept on disk and in a browser, on a desk and on a phone, in both themes."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from common import recipe
from common.contract import Parent
from common.media.files import sha256
from common.media.lineage import read_lineage
from router.gallery.disk import Disk
from router.visitors import OWN
from tests.browser.test_page_axe import everywhere, grave
from tests.common.fakes import clip
from tests.fleet import end, free_port, start
from tests.router.gallery.made import lineage

T2V, I2V, VACE = "a red circle moving right", "the circle goes on", "the sky in winter"
LONG, SHORT = 32, 16

_DROP = """(files) => {
    const data = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), c => c.charCodeAt(0));
        data.items.add(new File([bytes], name, {type: 'video/mp4'}));
    }
    document.querySelector('.page-gallery .gallery-grid')
        .dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def made(folder: Path, mode: str, prompt: str, seed: int, frames: int, *parents: Path) -> Path:
    told = lineage(
        mode, prompt, seed, tuple(Parent(sha256=sha256(p), mode="t2v", role="video") for p in parents)
    )
    folder.mkdir(parents=True, exist_ok=True)
    clip(folder / f"{seed}.mp4", 64, 64, frames, 16, comment=told.model_dump_json())
    return folder / f"{seed}.mp4"


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a Studio of one's own over pretended engines, and its state: three results of one chain."""
    folder = tmp_path_factory.mktemp("kept")
    disk, last = Disk(folder / "state"), ()
    for mode, prompt, seed, frames in (
        ("t2v", T2V, 11, LONG),
        ("i2v", I2V, 12, SHORT),
        ("vace", VACE, 13, SHORT),
    ):
        path = made(folder / "made", mode, prompt, seed, frames, *last)
        told = read_lineage(path)
        assert told is not None
        disk.keep(OWN, path, told)
        last = (path,)
    port = free_port()
    env = {"GRADIO_TEMP_DIR": str(folder / "cache"), "WAN_STATE": str(folder / "state")}
    process = start(port, "--modes", "t2v", "i2v", "vace", "animate", "--router", "--personal", env=env)
    yield f"http://127.0.0.1:{port}/#gallery", folder
    end(process)


def cells(page: Any) -> Any:
    return page.locator(".page-gallery figure:visible")


def opened(page: Any, prompt: str) -> Any:
    page.locator(".page-gallery .grid figure", has_text=prompt).locator(".open").click()
    expect(page.locator(".detail h3")).to_contain_text(prompt)
    return page.locator(".detail")


def here(page: Any, mode: str) -> None:
    expect(page.locator(f".nav [data-page={mode}]")).to_have_class(re.compile(r"\bhere\b"))


def test_gallery_finds_shows_and_filters_what_a_disk_has_kept(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0])
    expect(cells(page)).to_have_count(3)
    expect(page.locator(".count")).to_have_text("3 shown")
    assert page.locator(".grid .badge").all_inner_texts() == ["VACE", "I2V", "T2V"]
    page.wait_for_function(
        "() => [...document.querySelectorAll('.grid img')].every((i) => i.naturalWidth > 0)"
    )

    page.locator("[data-filter-mode=t2v]").click()
    expect(cells(page)).to_have_count(1)
    expect(page.locator(".count")).to_have_text("1 of 3")
    page.locator("[data-filter-mode=vace]").click()
    expect(cells(page)).to_have_count(2)
    page.locator("[data-filter-clear]").click()
    expect(cells(page)).to_have_count(3)
    page.locator("[data-filter=text]").fill("Circle 12")  # a word of the prompt, and a seed
    expect(cells(page)).to_have_count(1)
    page.locator("[data-filter=text]").fill("nothing of the kind")
    expect(page.locator(".page-gallery .none")).to_be_visible()
    page.locator("[data-filter-clear]").click()
    page.locator("[data-filter=model]").select_option("Wan 2.2 I2V-A14B (MoE)")
    expect(cells(page)).to_have_count(1)
    page.locator("[data-filter-clear]").click()
    page.locator("[data-filter=from]").fill("2026-11-26")
    expect(cells(page)).to_have_count(3)
    page.locator("[data-filter=to]").fill("2026-11-26")
    expect(cells(page)).to_have_count(0)
    page.locator("[data-filter-clear]").click()
    expect(cells(page)).to_have_count(3)

    page.locator(".grid figure", has_text=I2V).locator(".star").click()
    expect(page.locator(".grid figure", has_text=I2V)).to_have_attribute("data-star", "true")
    page.locator("[data-filter-star]").click()
    expect(cells(page)).to_have_count(1)
    page.locator(".grid .star:visible").click()  # filtered still, once the grid has come anew
    expect(cells(page)).to_have_count(0)


def test_gallery_detail_tells_all_and_its_lineage_leads_on(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0])
    detail = opened(page, VACE)
    page.wait_for_function("() => document.querySelector('.detail video').readyState >= 2")
    assert detail.locator("video").evaluate("v => v.autoplay && v.loop && v.controls")
    for text in ("Wan 2.1 VACE", "13", "Steps", "Submode", "plain", "2026-11-27"):
        expect(detail.locator(".settings-list")).to_contain_text(text)
    tree = detail.locator(".lineage")
    expect(tree.locator("ul ul [data-act=open]")).to_contain_text(T2V)
    tree.locator("[data-act=open]", has_text=I2V).click()
    expect(detail.locator("h3")).to_contain_text(I2V)
    expect(detail.locator(".lineage")).to_contain_text("Used in")
    page.keyboard.press("ArrowRight")
    expect(detail.locator("h3")).to_contain_text(T2V)
    page.keyboard.press("Escape")
    expect(page.locator(".detail")).to_have_count(0)


RECIPE = "Recipe, for wan-studio replay (JSON)"


def test_gallery_exports_show_the_frames_of_the_clip(
    visit: Any, kept: tuple[str, Path], tmp_path: Path
) -> None:
    page = visit(kept[0])
    detail = opened(page, T2V)
    got: dict[str, Path] = {}
    for label in (
        "Video (mp4)",
        "Settings (JSON)",
        RECIPE,
        "Animated GIF",
        "Last frame (PNG)",
        "Contact sheet (PNG)",
    ):
        detail.locator("summary", has_text="Export").click()
        with page.expect_download() as download:
            detail.locator(".list").get_by_text(label, exact=True).click()
        name = download.value.suggested_filename
        download.value.save_as(tmp_path / name)
        got[label] = tmp_path / name
        page.keyboard.press("Escape") if detail.locator("details[open]").count() else None
    stem = "t2v-a-red-circle-moving-right-11"
    ends = (".mp4", ".json", ".recipe.json", ".gif", "-last-frame.png", "-sheet.png")
    assert [path.name for path in got.values()] == [stem + e for e in ends]
    assert read_lineage(got["Video (mp4)"]) == lineage("t2v", T2V, 11)
    assert json.loads(got["Settings (JSON)"].read_text())["seed"] == 11
    assert [step.mode for step in recipe.read(got[RECIPE].read_text()).steps] == ["t2v"]
    with Image.open(got["Animated GIF"]) as shown:
        assert shown.n_frames == LONG
    with Image.open(got["Last frame (PNG)"]) as shown:
        assert shown.size == (64, 64)


def test_gallery_compares_two_in_step(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0])
    for prompt in (T2V, VACE):
        page.locator(".grid figure", has_text=prompt).locator("[data-pick]").check()
    box = page.locator(".compare")
    expect(box.locator("video")).to_have_count(2)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.compare video')].every((v) => v.readyState >= 2)"
    )
    times = "() => [...document.querySelectorAll('.compare video')].map((v) => v.currentTime)"
    line = box.locator("input[type=range]")
    assert float(line.get_attribute("max")) == pytest.approx(LONG / 16, abs=0.07), "the longer one's"
    line.evaluate("(l) => { l.value = 0.5; l.dispatchEvent(new Event('input', {bubbles: true})); }")
    assert page.evaluate(times) == pytest.approx([0.5, 0.5], abs=0.01)
    box.locator("[data-step='1']").click()
    first, second = page.evaluate(times)
    assert first == second == pytest.approx(0.5 + 1.5 / 16, abs=0.005)
    line.evaluate("(l) => { l.value = 1.6; l.dispatchEvent(new Event('input', {bubbles: true})); }")
    assert sorted(page.evaluate(times)) == pytest.approx([1.0, 1.6], abs=0.07), (
        "the shorter one stands at its end"
    )
    line.evaluate("(l) => { l.value = 0; l.dispatchEvent(new Event('input', {bubbles: true})); }")
    box.locator("[data-play]").click()
    page.wait_for_function("() => document.querySelectorAll('.compare video')[0].currentTime > 0.3")
    box.locator("[data-play]").click()
    first, second = page.evaluate(times)
    assert abs(first - second) < 0.12
    box.locator("[data-close]").click()
    expect(page.locator(".compare")).to_have_count(0)
    expect(page.locator("[data-pick]:checked")).to_have_count(0)


def test_gallery_goes_back_into_panels_and_sends_on(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0])
    expect(page.locator(".nav [data-page=t2v]")).not_to_have_class(re.compile(r"\boff\b"))
    opened(page, T2V).get_by_role("button", name="Reload into T2V").click()
    here(page, "t2v")
    expect(page.locator(".page-t2v .prompt textarea")).to_have_value(T2V)
    page.evaluate("window.wanStudio.go('gallery')")
    detail = page.locator(".detail")
    detail.locator("summary", has_text="Reload into").click()
    detail.locator("[data-into=animate]").click()
    here(page, "animate")
    expect(page.locator(".page-animate .prompt textarea")).to_have_value(T2V)
    page.evaluate("window.wanStudio.go('gallery')")
    detail.locator("summary", has_text="Send to").click()
    detail.locator("[data-act=send]", has_text="continue from the last frame").click()
    here(page, "i2v")
    expect(page.locator(".page-i2v .slot label.selected", has_text="Last")).to_be_visible()
    page.locator(".page-i2v .prompt textarea").fill("and on it goes")
    page.locator(".page-i2v .actions button", has_text="Generate").click()
    expect(page.locator(".page-i2v .progress.done")).to_be_visible()
    page.evaluate("window.wanStudio.go('gallery')")
    expect(cells(page)).to_have_count(4)
    opened(page, "and on it goes")
    expect(page.locator(".detail .lineage [data-act=open]")).to_contain_text(T2V)
    page.locator(".detail .danger").click()
    expect(page.locator(".page-gallery .undo")).to_contain_text("and on it goes")
    expect(cells(page)).to_have_count(3)
    page.reload()  # on a disk it can be brought back then, too
    page.locator(".page-gallery .undo [data-act=undo]").click()
    expect(cells(page)).to_have_count(4)
    expect(page.locator(".page-gallery .undo")).to_have_count(0)
    opened(page, "and on it goes")
    page.locator(".detail .danger").click()
    expect(cells(page)).to_have_count(3)


def test_gallery_takes_several_files_that_are_dropped(
    visit: Any, kept: tuple[str, Path], tmp_path: Path
) -> None:
    page = visit(kept[0])
    expect(cells(page)).to_have_count(3)
    files = [made(tmp_path, "t2v", "from a friend", 21, 5), made(tmp_path, "t2v", "from another", 22, 5)]
    (tmp_path / "holiday.mp4").write_text("no video")
    every = [*files, tmp_path / "holiday.mp4"]
    page.evaluate(_DROP, [[f.name, base64.b64encode(f.read_bytes()).decode()] for f in every])
    expect(cells(page)).to_have_count(5)
    expect(page.locator(".toast-body")).to_contain_text("holiday.mp4")
    for prompt in ("from a friend", "from another"):
        opened(page, prompt).locator(".danger").click()
        expect(page.locator(".grid figure", has_text=prompt)).to_have_count(0)


def test_gallery_on_a_phone(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0], (390, 844))
    expect(cells(page)).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    detail = opened(page, T2V)
    assert detail.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}, "the whole screen"
    detail.locator("summary", has_text="Export").click()
    expect(detail.get_by_text("Animated GIF")).to_be_in_viewport()
    assert not grave(page)
    detail.locator("[data-close]").click()
    expect(page.locator(".detail")).to_have_count(0)
    for prompt in (T2V, VACE):
        page.locator(".grid figure", has_text=prompt).locator("[data-pick]").check()
    first, second = (page.locator(".compare video").nth(n).bounding_box() for n in range(2))
    assert (
        second["y"] >= first["y"] + first["height"]
        and page.evaluate("document.documentElement.scrollWidth") <= 390
    )


def test_axe_gallery_with_a_result_open_and_two_compared(visit: Any, kept: tuple[str, Path]) -> None:
    page = visit(kept[0])
    for prompt in (T2V, VACE):
        page.locator(".grid figure", has_text=prompt).locator("[data-pick]").check()
    expect(page.locator(".compare video")).to_have_count(2)
    opened(page, T2V)
    found = everywhere(page)
    page.set_viewport_size({"width": 1440, "height": 900})
    for title in ("Send to", "Reload into", "Export"):
        page.locator(".detail summary", has_text=title).click()
        found += grave(page)
        page.keyboard.press("Escape")
    assert not found, found


def test_gallery_of_a_browser_forgets_what_was_deleted_and_shows_nobody_elses(visit: Any, fleet: str) -> None:
    page, other = visit(fleet), visit(fleet)
    page.locator(".page-t2v .prompt textarea").fill("a green star")
    page.locator(".page-t2v .actions button", has_text="Generate").click()
    expect(page.locator(".page-t2v .progress.done")).to_be_visible()
    page.evaluate("window.wanStudio.go('gallery')")
    opened(page, "a green star").locator(".star").click()
    expect(page.locator(".grid figure")).to_have_attribute("data-star", "true")
    page.reload()
    expect(page.locator(".grid figure")).to_have_attribute("data-star", "true")
    opened(page, "a green star").locator(".danger").click()
    expect(page.locator(".page-gallery .empty-page")).to_be_visible()
    page.locator(".undo [data-act=undo]").click()
    expect(page.locator(".grid figure")).to_have_count(1)
    opened(page, "a green star").locator(".danger").click()
    expect(page.locator(".page-gallery .undo")).to_be_visible()
    page.reload()
    expect(page.locator(".page-gallery .empty-page")).to_be_visible()
    expect(page.locator(".page-gallery .undo")).to_have_count(0)
    other.evaluate("window.wanStudio.go('gallery')")
    expect(other.locator(".page-gallery .empty-page")).to_be_visible()
    other.locator(".page-gallery .empty-page [data-page=t2v]").click()
    here(other, "t2v")
