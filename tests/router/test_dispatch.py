"""Jobs through the federation: hand-overs without bytes, visitors' tokens, and failures with names."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from common.contract import Backend, Done, Manifest, MediaHandle, Step
from common.errors import GpuError, InputError, MediaError, UnavailableError
from common.modes.all import MODES
from common.run import pulse
from router import transfer
from router.dispatch import FederatedRunner, Studio, assumed
from router.federation import Place
from router.health import Status, ask
from router.transfer import Traffic, deliver, way
from tests.router.conftest import Fleet

VALUES = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 2, "seed": 1}


def run(runner: FederatedRunner, values: dict, headers: dict | None = None) -> tuple[MediaHandle, Done]:
    async def last() -> tuple[MediaHandle, Done]:
        async for video, event in runner.stream(values, headers):
            if isinstance(event, Done):
                assert video is not None
                return video, event
        raise AssertionError("no done")

    return asyncio.run(asyncio.wait_for(last(), 60))


def test_a_result_goes_on_by_path_and_no_byte_passes_the_router(fleet: Fleet) -> None:
    video, done = run(fleet.runner("t2v"), VALUES)
    assert (video.url, video.frames, video.sha256) == (None, 5, done.sha256)
    before = fleet.studio.traffic.counts["path"]
    sent = {"image": video.model_dump(), "image_from": "last"}
    run(fleet.runner("i2v"), {**VALUES, **sent})
    request = fleet.services["i2v"].request
    assert request is not None
    assert request.image.path == video.path and request.image_from == "last"
    assert fleet.studio.traffic.counts["path"] == before + 1
    assert fleet.studio.traffic.relayed == 0


def test_between_processes_on_one_machine_the_file_is_relayed_and_counted(fleet: Fleet) -> None:
    video, _ = run(fleet.runner("t2v"), VALUES)
    source, target = (Place(k, f"{fleet.base}/{k}/") for k in ("t2v", "i2v"))
    handle = video.model_copy(update={"url": f"{source.where}gradio_api/file={video.path}"})
    traffic = Traffic()
    given = deliver(handle, source, target, target.where, traffic)
    assert Path(given["path"]).read_bytes() == Path(video.path).read_bytes()
    assert given["path"] != video.path
    assert traffic.relayed == Path(video.path).stat().st_size


def test_between_public_spaces_only_the_address_travels(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, _ = run(fleet.runner("t2v"), VALUES)
    source, target = Place("t2v", f"{fleet.base}/t2v/"), Place("i2v", "https://i2v.example/")
    monkeypatch.setattr(Place, "public", property(lambda self: True))
    monkeypatch.setattr(transfer, "on_the_internet", lambda url: True)  # loopback stands in for it
    handle = video.model_copy(update={"url": f"{source.where}gradio_api/file={video.path}"})
    traffic = Traffic()
    given = deliver(handle, source, target, target.where, traffic)
    assert given["path"] == handle.url and traffic.counts["url"] == 1 and traffic.relayed == 0
    gone = handle.model_copy(update={"url": handle.url + ".gone"})
    with pytest.raises(MediaError, match="has expired on the Space that made it; run it again"):
        deliver(gone, source, target, target.where, traffic)


def test_an_expired_file_says_so(fleet: Fleet) -> None:
    video, _ = run(fleet.runner("t2v"), {**VALUES, "seed": 9})
    Path(video.path).unlink()
    with pytest.raises(MediaError, match="has expired"):
        run(fleet.runner("i2v"), {**VALUES, "image": video.model_dump()})


def test_private_federations_relay() -> None:
    source, target = Place("t2v", "a/b"), Place("i2v", "a/c")
    handle = MediaHandle(path="/x/y.mp4", url="https://a-b.hf.space/gradio_api/file=/x/y.mp4")
    assert way(handle, source, target) == "url"
    assert way(handle, source, target, private=True) == "relay"
    assert way(handle, None, target) == "relay"  # an upload to the router itself
    here = handle.model_copy(update={"url": "http://127.0.0.1:7861/gradio_api/file=/x/y.mp4"})
    assert way(here, source, target) == "relay", "a Space id may stand for an app on this machine"


def carried(mode: str, *keys: str, size: str) -> Manifest:
    all_of_it = assumed(MODES[mode])
    infos = [c for c in all_of_it.checkpoints if c.key in keys]
    machine = Backend(device="cuda", name=f"ZeroGPU {size}", gpu_size=size)
    return all_of_it.model_copy(
        update={"checkpoints": infos, "default_checkpoint": keys[0], "weights": "wan", "backend": machine}
    )


def test_places_that_carry_different_models_are_one_mode() -> None:
    small, large = (Place("t2v", f"me/{name}") for name in ("small", "large"))
    studio = Studio.over({"t2v": (small, large)})
    runner = FederatedRunner(MODES["t2v"], studio)
    studio.watcher.note(
        Status(small, "ready", "", carried("t2v", "wan2.1-t2v-14b", size="large"), "https://s/")
    )
    assert [c.key for c in runner.known().checkpoints] == ["wan2.1-t2v-14b"]
    studio.watcher.note(
        Status(large, "ready", "", carried("t2v", "wan2.2-t2v-a14b", size="xlarge"), "https://l/")
    )
    assert [c.key for c in runner.known().checkpoints] == ["wan2.2-t2v-a14b", "wan2.1-t2v-14b"]
    for key, size, place in (("wan2.1-t2v-14b", "large", small), ("wan2.2-t2v-a14b", "xlarge", large)):
        values = {"prompt": "a", "checkpoint": key}
        assert asyncio.run(runner.plan(values)).gpu_size == size, (
            "the label is about the Space that will run it"
        )
        assert asyncio.run(runner._ready(values)).place == place
    assert asyncio.run(runner.plan({"prompt": "a"})).checkpoint == "wan2.2-t2v-a14b"
    assert asyncio.run(runner._ready({"prompt": "a"})).place == large, "the default goes where it is carried"


def test_the_read_token_is_shown_to_private_spaces_alone() -> None:
    shut, open_, other = Place("t2v", "me/shut"), Place("i2v", "me/open"), Place("v2v", "https://x.example/")
    studio = Studio.over({"t2v": (shut,), "i2v": (open_,), "v2v": (other,)}, token="hf_read")
    studio.watcher.note(Status(shut, "ready", "", assumed(MODES["t2v"]), "https://me-shut.hf.space/", True))
    assert [studio.token_for(p) for p in (shut, open_, other, None)] == ["hf_read", None, None, None]


def test_the_visitors_token_goes_along_and_nothing_else(fleet: Fleet) -> None:
    run(fleet.runner("t2v"), VALUES, {"x-ip-token": "visitor-7", "cookie": "secret=1"})
    seen = fleet.services["t2v"].seen
    assert seen is not None
    assert seen.headers["x-ip-token"] == "visitor-7"
    assert "secret" not in str(dict(seen.headers))
    run(fleet.runner("t2v"), VALUES)
    assert "x-ip-token" not in fleet.services["t2v"].seen.headers


def test_errors_keep_their_kind_and_text(fleet: Fleet) -> None:
    with pytest.raises(InputError, match="num_frames must be 4k\\+1; got 80, try 77 or 81"):
        run(fleet.runner("t2v"), {**VALUES, "num_frames": 80})
    service = fleet.services["t2v"]
    service.failure = GpuError("wait 10 minutes", title="ZeroGPU quota exceeded")
    try:
        with pytest.raises(GpuError) as error:
            run(fleet.runner("t2v"), VALUES)
    finally:
        service.failure = None
    assert (error.value.title, error.value.text) == ("ZeroGPU quota exceeded", "wait 10 minutes")


SPACE = """
import sys
from pathlib import Path
from common.modes.all import MODES
from tests.common.fakes import space_of
from tests.common.fakes import FakeService
service = FakeService(MODES["t2v"], Path(sys.argv[2]), pause=0.3)
space_of(service).launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


@pytest.fixture
def lonely(tmp_path: Path, free_port: int) -> Iterator[tuple[subprocess.Popen, Studio]]:
    """One mode in a process of its own, that can be killed and frozen."""
    command = [sys.executable, "-c", SPACE, str(free_port), str(tmp_path)]
    process = subprocess.Popen(command, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)})
    place = Place("t2v", f"http://127.0.0.1:{free_port}/")
    studio = Studio.over({"t2v": (place,)})
    end = time.monotonic() + 60
    while (status := ask(place)).state != "ready":
        assert time.monotonic() < end and process.poll() is None, status
        time.sleep(0.2)
    studio.watcher.note(status)
    yield process, studio
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait(10)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_mode_that_dies_or_freezes_mid_job_fails_clearly(
    lonely: tuple[subprocess.Popen, Studio], how: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, studio = lonely
    monkeypatch.setattr(pulse, "SILENCE_SECONDS", 1.0)

    async def job() -> None:
        values = {**VALUES, "num_inference_steps": 50}
        async for _, event in FederatedRunner(MODES["t2v"], studio).stream(values):
            if isinstance(event, Step) and event.index == 2:
                process.send_signal(how)

    with pytest.raises(UnavailableError, match="Text to Video"):
        asyncio.run(asyncio.wait_for(job(), 120))
    assert studio.busy == {} or not any(studio.busy.values())


def test_a_job_for_a_model_whose_only_place_is_away_says_so() -> None:
    small, large = (Place("t2v", f"me/{name}") for name in ("small", "large"))
    studio = Studio.over({"t2v": (small, large)})
    studio.watcher.note(
        Status(small, "ready", "", carried("t2v", "wan2.1-t2v-14b", size="large"), "https://s/")
    )
    studio.watcher.note(
        Status(large, "ready", "", carried("t2v", "wan2.2-t2v-a14b", size="xlarge"), "https://l/")
    )
    studio.watcher.note(Status(large, "paused", "is paused by its owner"))
    runner = FederatedRunner(MODES["t2v"], studio)
    with pytest.raises(UnavailableError, match="Text to Video is paused by its owner"):
        asyncio.run(runner._ready({"prompt": "a", "checkpoint": "wan2.2-t2v-a14b"}))
    with pytest.raises(InputError, match="checkpoint must be one that t2v runs"):
        asyncio.run(runner._ready({"prompt": "a", "checkpoint": "wan9"}))


def test_a_job_may_come_before_the_first_page(fleet: Fleet) -> None:
    studio = Studio.over(fleet.studio.watcher.federation)
    try:
        assert run(FederatedRunner(MODES["t2v"], studio), VALUES)[1].seed == VALUES["seed"]
    finally:
        studio.watcher.stop()
