"""The gallery: what an item was made from decides its caption, and leads back to its panel."""

from __future__ import annotations

import asyncio

from common.contract import Done, MediaHandle
from router import gallery
from tests.router.conftest import Fleet

VALUES = {"prompt": "a <b>red</b> circle", "num_frames": 5, "num_inference_steps": 2, "seed": 1}


async def result(fleet: Fleet, values: dict) -> MediaHandle:
    async for video, event in fleet.runner("t2v").stream(values):
        if isinstance(event, Done):
            assert video is not None
            return video
    raise AssertionError("no done")


def test_a_result_remembers_what_it_was_made_from(fleet: Fleet) -> None:
    video = asyncio.run(asyncio.wait_for(result(fleet, VALUES), 60))
    lineage = fleet.studio.lineages.of(video)
    assert lineage is not None and (lineage.plan.mode, lineage.plan.num_frames, lineage.seed) == ("t2v", 5, 1)
    assert fleet.studio.lineages.of(MediaHandle(path="/uploaded.mp4")) is None
    page = gallery.grid([gallery.Item(mode="t2v", video=video, lineage=lineage)])
    assert "a &lt;b&gt;red&lt;/b&gt; circle" in page and 'data-again="0"' in page


def test_newest_first_each_once_and_only_so_many() -> None:
    items: list[gallery.Item] = []
    for index in range(gallery.LAST + 3):
        items = gallery.added(items, gallery.Item(mode="t2v", video=MediaHandle(path=f"/{index}.mp4")))
    items = gallery.added(items, gallery.Item(mode="t2v", video=MediaHandle(path="/20.mp4")))
    assert len(items) == gallery.LAST
    assert [i.video.path for i in items[:3]] == [
        "/20.mp4",
        f"/{gallery.LAST + 2}.mp4",
        f"/{gallery.LAST + 1}.mp4",
    ]
    page = gallery.grid(items)
    assert page.count("<figure>") == gallery.LAST and "data-again" not in page, "nothing to go back to"
    assert "Nothing yet" in gallery.grid([])


def test_a_browser_keeps_the_list_and_nothing_that_another_wrote_there_is_shown() -> None:
    items = gallery.added([], gallery.Item(mode="t2v", video=MediaHandle(path="/1.mp4")))
    assert gallery.read(gallery.written(items)) == items
    for strange in ("", None, "{", "[1]", '[{"mode": "t9v"}]', ["a"], {"path": "/etc/passwd"}, "null"):
        assert gallery.read(strange) == []
