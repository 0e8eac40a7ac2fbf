"""A router that was started anew still knows the federation's results: by where they lie, not by memory."""

from __future__ import annotations

import asyncio

from common.contract import Done, MediaHandle
from common.modes.all import MODES
from router.dispatch import FederatedRunner, Studio
from router.federation import Place
from router.health import Watcher, ask
from tests.router.conftest import Fleet

VALUES = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 2, "seed": 6}


def started(fleet: Fleet) -> Studio:
    """A Studio that has just come up over the same modes, as separate apps."""
    table = {key: (Place(key, f"{fleet.base}/{key}/"),) for key in ("t2v", "i2v")}
    studio = Studio(Watcher(table))
    for (place,) in table.values():
        studio.watcher.note(ask(place))
    return studio


async def made(studio: Studio, mode: str, **values: object) -> MediaHandle:
    async for video, event in FederatedRunner(MODES[mode], studio).stream({**VALUES, **values}):
        if isinstance(event, Done):
            assert video is not None
            return video
    raise AssertionError("no done")


def test_an_older_clip_is_sent_on_after_a_restart(fleet: Fleet) -> None:
    maker = started(fleet)
    clip = asyncio.run(asyncio.wait_for(made(maker, "t2v"), 60))
    assert clip.url
    shown = MediaHandle(path=clip.url, url=clip.url, mime="video/mp4")  # as the page sends it back
    known = maker.lineages.of(shown)
    assert known is not None and known == maker.lineages.of(clip)
    studio = started(fleet)
    assert studio.lineages.of(shown) is None, "it remembers nothing"
    asyncio.run(asyncio.wait_for(made(studio, "i2v", image=shown.model_dump(), image_from="last"), 60))
    assert studio.traffic.counts["relay"] == 1


def test_only_the_file_route_of_a_place_is_its_result(fleet: Fleet) -> None:
    watcher = started(fleet).watcher
    place = watcher.place_of(f"{fleet.base}/t2v/gradio_api/file=/tmp/x.mp4")
    assert place is not None and place.mode == "t2v"
    for url in (
        f"{fleet.base}/t2v/config", f"{fleet.base}/t2v/gradio_api/run/manifest", "/tmp/x.mp4", "",
        f"{fleet.base}.evil.example/t2v/gradio_api/file=/tmp/x.mp4",
        f"http://u@{fleet.base.removeprefix('http://')}/t2v/gradio_api/file=/tmp/x.mp4",
    ):  # fmt: skip
        assert watcher.place_of(url) is None, url
