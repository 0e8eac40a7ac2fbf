"""A private mode: read with the router's token, which no other place is shown; its results come by relay."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from huggingface_hub import HfApi, constants

from common.contract import Control, Done, MediaHandle
from common.modes.all import MODES
from router import transfer
from router.dispatch import FederatedRunner, Studio
from router.federation import Place
from router.health import ask
from tests.common.fakes import FakeService, space_of
from tests.disk import disk_takes
from tests.hub_stand_in import Hub as StandIn
from tests.router.conftest import serve

SHUT, OPEN = Place("t2v", "ada/shut"), Place("i2v", "ada/open")


class Door:
    """An app that answers only who shows `token`, or anyone when it is None; `shown` is what it was shown."""

    def __init__(self, app: Any, token: str | None) -> None:
        self.app, self.token, self.shown = app, token, set[str]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            headers = {k.decode(): v.decode() for k, v in scope["headers"]}
            self.shown.add(headers.get("authorization", ""))
            if self.token and headers.get("authorization") != f"Bearer {self.token}":
                await send({"type": "http.response.start", "status": 404, "headers": []})
                await send({"type": "http.response.body", "body": b""})
                return
        await self.app(scope, receive, send)


@pytest.fixture
def house(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Studio, dict[Place, Door]]]:
    """A private T2V and a public I2V Space on the stand-in Hub, and a Studio that may read the first."""
    doors: dict[Place, Door] = {}
    servers = []
    with StandIn().serve() as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        for place, token in ((SHUT, "hf_read"), (OPEN, None)):
            service = FakeService(MODES[place.mode], outputs)
            app = gr.mount_gradio_app(FastAPI(), space_of(service), path="/")
            doors[place] = Door(app, token)
            server, thread, url = serve(doors[place])  # type: ignore[arg-type]
            servers.append((server, thread))
            hub.hosts[place.where] = url
            api = HfApi(endpoint=hub.url, token="hf_write")
            visibility = "private" if token else "public"
            api.create_repo(place.where, repo_type="space", space_sdk="gradio", visibility=visibility)
            hub.repos[place.where].stages = [("RUNNING", hub.repos[place.where].head.id)]
        studio = Studio.over({"t2v": (SHUT,), "i2v": (OPEN,)}, token="hf_read")
        for place in doors:
            studio.watcher.note(ask(place, "hf_read"))
        yield studio, doors
    for server, thread in servers:
        server.should_exit = True
        thread.join(10)


async def last(studio: Studio, mode: Any, values: dict) -> MediaHandle:
    async for video, event in FederatedRunner(MODES[mode], studio).stream(values):
        if isinstance(event, Done):
            assert video is not None
            return video
    raise AssertionError("no done")


def test_a_private_mode_is_read_and_its_result_comes_through_the_router(
    house: tuple[Studio, dict[Place, Door]],
) -> None:
    studio, doors = house
    assert studio.watcher.private(SHUT) and not studio.watcher.private(OPEN)
    assert ask(SHUT).state == "down", "without the token it is not there"
    values = {"prompt": "a", "num_frames": 5, "num_inference_steps": 2, "seed": 3}
    video = asyncio.run(asyncio.wait_for(last(studio, "t2v", values), 60))
    # The visitor's browser has no token: the router serves the file itself.
    assert video.url is None and Path(video.path).read_bytes()[4:8] == b"ftyp"
    assert studio.traffic.relayed == Path(video.path).stat().st_size
    sent = {**values, "image": video.model_dump(), "image_from": "last"}
    asyncio.run(asyncio.wait_for(last(studio, "i2v", sent), 60))
    assert studio.traffic.counts == {"path": 0, "url": 0, "relay": 2}
    assert doors[SHUT].shown == {"Bearer hf_read"}
    assert doors[OPEN].shown == {""}, "a public Space could keep the token"


def test_a_private_result_that_finds_no_room_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = httpx.MockTransport(lambda request: httpx.Response(200, content=b"x" * 3_000_000))
    monkeypatch.setattr(transfer.httpx, "stream", httpx.Client(transport=made).stream)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    with disk_takes(1_000_000), pytest.raises(OSError, match="File too large"):
        transfer.keep_here(
            MediaHandle(path="/x/t2v-1.mp4", url="https://x/t2v-1.mp4"), "hf_x", transfer.Traffic()
        )
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def test_a_result_of_a_container_comes_through_the_router_too(outputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mode at http://t2v:…, a name that its network alone knows: no visitor's browser would find it."""
    find = socket.getaddrinfo
    here = {"t2v": "127.0.0.1", b"t2v": "127.0.0.1"}
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *a, **k: find(here.get(host, host), *a, **k))
    service = FakeService(MODES["t2v"], outputs)
    server, thread, url = serve(gr.mount_gradio_app(FastAPI(), space_of(service), path="/"))
    try:
        place = Place("t2v", url.replace("127.0.0.1", "t2v").rstrip("/") + "/")
        studio = Studio.over({"t2v": (place,)})
        studio.watcher.note(ask(place))
        values = {"prompt": "a", "num_frames": 5, "num_inference_steps": 2, "seed": 3}
        video = asyncio.run(asyncio.wait_for(last(studio, "t2v", values), 60))
        assert video.url is None and Path(video.path).read_bytes()[4:8] == b"ftyp"
        assert studio.traffic.relayed == Path(video.path).stat().st_size
    finally:
        server.should_exit = True
        thread.join(10)


def test_what_a_container_prepares_is_seen_too_pictures_in_a_list_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = httpx.MockTransport(lambda request: httpx.Response(200, content=request.url.path.encode()))
    monkeypatch.setattr(transfer.httpx, "stream", httpx.Client(transport=made).stream)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    video, mask, one, two = (MediaHandle(path=f"/{n}.mp4", url=f"http://vace/{n}.mp4") for n in "abcd")
    control = Control(video=video, mask=mask, reference_images=[one, two], notices=["a notice"])
    for where, fetched in (("http://vace:7860/", 4), ("http://127.0.0.1:1/", 0)):
        studio = Studio.over({})
        shown = asyncio.run(FederatedRunner(MODES["vace"], studio)._shown_here(control, Place("vace", where), "me"))
        assert isinstance(shown, Control) and shown.notices == ["a notice"]
        handles = [shown.video, shown.mask, *shown.reference_images]
        assert sum(handle.url is None for handle in handles) == fetched
        if fetched:
            assert [Path(handle.path).read_text() for handle in handles] == ["/a.mp4", "/b.mp4", "/c.mp4", "/d.mp4"]
