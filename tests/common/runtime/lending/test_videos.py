"""A server of /v1/videos as an engine: whole jobs in both dialects, and what may go wrong on the way."""

from __future__ import annotations

import logging
from pathlib import Path

import av
import pytest
from fastapi.responses import HTMLResponse, JSONResponse
from gradio_client import Client
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import MediaHandle
from common.errors import GpuError, InputError, UnavailableError
from common.media.lineage import read_lineage
from common.panels.t2v import T2VPanel
from common.runtime import again
from common.runtime.lending.replica import ROOT
from common.settings import SpaceSettings
from common.space import build_space
from tests.common.runtime.lending.over_videos import ASKED, engine_of, frames_of, made, notices
from tests.common.runtime.lending.stand_in_videos import Dropped, Stand, film, serving

T2V, I2V = "wan2.1-t2v-1.3b", "wan2.2-i2v-a14b"
pytestmark = pytest.mark.usefixtures("hasty")


@pytest.mark.parametrize("dialect", ["vllm-omni", "sglang"])
def test_a_text_becomes_the_video_that_the_server_makes(dialect: str) -> None:
    with serving(Stand(dialect=dialect)) as stand:
        engine = engine_of("t2v", stand)
        assert engine.allowed == (T2V,) and engine.is_loaded(T2V)
        path, events = made(engine)
    assert frames_of(path) == (480, 832, 5)
    assert stand.begun == [{
        "prompt": ASKED["prompt"], "negative_prompt": CHECKPOINTS[T2V].negative_prompt, "size": "480x832",
        "num_frames": 5, "fps": 16, "num_inference_steps": 10, "guidance_scale": 6.0, "flow_shift": 8.0, "seed": 3,
    }]  # fmt: skip
    assert [event.index for event in events if event.type == "step"] == [1, 5, 9, 10]
    lineage = read_lineage(path)
    assert lineage is not None and lineage.request["prompt"] == ASKED["prompt"] and lineage.seed == 3
    assert lineage.versions[dialect] == ("0.30.0" if dialect == "vllm-omni" else "unknown")
    assert "torch" not in lineage.versions and lineage.plan.placement is None
    assert stand.deleted == ["video-1"], "the server keeps nothing of it"
    assert notices(events) == ""


def test_no_frame_is_encoded_again_and_the_sound_stays(stand: Stand) -> None:
    stand.video = lambda given: film(given, sound=True)
    engine = engine_of("t2v", stand)
    path, _ = made(engine)
    with av.open(str(path)) as container:
        ours = [bytes(packet) for packet in container.demux(video=0) if packet.size]
        assert len(container.streams.audio) == 1
    source = path.with_name("source.mp4")
    source.write_bytes(film(stand.begun[0], sound=True))
    with av.open(str(source)) as container:
        assert ours == [bytes(packet) for packet in container.demux(video=0) if packet.size]


def test_a_picture_goes_along_in_the_size_of_the_video_and_both_experts_are_guided(tmp_path: Path) -> None:
    picture = tmp_path / "first.png"
    Image.new("RGB", (400, 400), "red").save(picture)
    with serving(Stand(model="/models/Wan2.2-I2V-A14B-Diffusers/")) as stand:
        path, events = made(engine_of("i2v", stand), image=MediaHandle(path=str(picture)), preset="fast")
    given = stand.begun[0]
    assert given.pop("input_reference").size == (480, 832)
    preset = CHECKPOINTS[I2V].presets["quality"]
    assert (given["guidance_scale"], given["guidance_scale_2"]) == (preset.guidance_scale, preset.guidance_scale_2)
    assert given["boundary_ratio"] == 0.9
    assert "using Quality preset" in notices(events), "the server has none of our LoRAs"
    lineage = read_lineage(path)
    assert lineage is not None and lineage.parents[0].role == "image"


# ---------------------------------------------------------------------- what is told instead


@pytest.mark.parametrize(
    ("mode", "model", "says"),
    [
        ("i2v", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "serves Wan 2.1 T2V-1.3B, which is not for Image to Video"),
        ("v2v", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", "cannot be asked for Video to Video"),
        ("flf2v", "Wan-AI/Wan2.2-I2V-A14B-Diffusers", "takes a text and a first picture"),
        ("vace", "Wan-AI/Wan2.1-VACE-1.3B-diffusers", "cannot be asked for VACE"),
        ("t2v", "Qwen/Qwen3-8B", "serves Qwen/Qwen3-8B, which is no checkpoint"),
    ],
)
def test_what_a_server_does_not_serve_is_told_by_name_in_one_line(mode: str, model: str, says: str) -> None:
    with serving(Stand(model=model)) as stand, pytest.raises(UnavailableError, match=says) as told:
        engine_of(mode, stand)
    assert "\n" not in told.value.text and "leave WAN_ENGINE empty" in told.value.text


def test_no_server_and_one_of_something_else_are_told_in_one_line(stand: Stand, free_port: int) -> None:
    with pytest.raises(UnavailableError, match="no server of videos answers at"):
        engine_of("t2v", Stand(url=f"http://127.0.0.1:{free_port}"))
    stand.faults["models"] = [HTMLResponse("<h1>It works</h1>")]
    with pytest.raises(UnavailableError, match="not as a server of /v1/videos does"):
        engine_of("t2v", stand)
    stand.faults["models"] = [JSONResponse({"error": "no such route"}, 404)]
    with pytest.raises(UnavailableError, match="has no /v1/models"):
        engine_of("t2v", stand)


def test_wan_nano_is_no_server_s(stand: Stand) -> None:
    app = again.load(ROOT / "spaces" / "t2v" / "app.py")
    with pytest.raises(InputError, match="start with --weights wan"):
        type(app.service)(SpaceSettings(engine=stand.url))


def test_clips_are_not_joined_and_the_model_is_its_owner_s(tmp_path: Path) -> None:
    with serving(Stand(model="Wan-AI/Wan2.2-I2V-A14B-Diffusers")) as stand:
        engine = engine_of("i2v", stand, admin="x" * 16)
    clip = MediaHandle(path=str(tmp_path / "a.mp4"), mime="video/mp4", frames=9, fps=16, seconds=0.5)
    request = engine.mode.parse(ASKED | {"image": clip, "image_from": "last", "join": True})
    with pytest.raises(InputError, match="join is not possible where a server"):
        engine.plan(request)
    with pytest.raises(UnavailableError, match="keeps its model"):
        engine.unload()
    for act in (engine.download, engine.delete):
        with pytest.raises(UnavailableError, match="other machines"):
            act(I2V)


def test_the_key_is_sent_and_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(Stand(key="sk-of-nobody-else")) as stand:
        with pytest.raises(UnavailableError, match="refuses its key; see WAN_ENGINE_KEY"):
            engine_of("t2v", stand, engine_key="wrong")
        engine = engine_of("t2v", stand, engine_key=stand.key)
        path, events = made(engine)
    assert stand.url.removeprefix("http://") not in repr(events) + engine.manifest().model_dump_json()
    shown = caplog.text + repr(engine.settings) + repr(events) + engine.manifest().model_dump_json()
    assert stand.key not in shown and stand.key.encode() not in path.read_bytes()


# ---------------------------------------------------------------------- what passes


def test_a_connection_that_breaks_is_asked_again_and_progress_never_goes_back(stand: Stand) -> None:
    back = (("in_progress", 60), ("in_progress", 20), ("marinating", None), ("in_progress", -5))
    stand.script = (*back, *stand.script)
    stand.faults = {
        "look": [Dropped(), HTMLResponse("<h1>Bad gateway</h1>", 502), None, JSONResponse({}, 429), Dropped()],
        "content": [Dropped(), HTMLResponse("<h1>Bad gateway</h1>", 502)],
    }
    stand.content_type = "text/plain"  # its bytes say what it is
    path, events = made(engine_of("t2v", stand))
    assert frames_of(path) == (480, 832, 5)
    assert [event.index for event in events if event.type == "step"] == [6, 9, 10]


def test_a_full_queue_is_waited_for_in_words(stand: Stand) -> None:
    full = JSONResponse({"error": {"message": "queue full"}}, 429, headers={"retry-after": "0"})
    stand.faults["begin"] = [full, full, JSONResponse({}, 503, headers={"retry-after": "0"})]
    _, events = made(engine_of("t2v", stand))
    told = [event.text for event in events if event.type == "stage"]
    assert sum("is busy: waiting for a place" in text for text in told) == 1 and len(stand.begun) == 1


def test_a_server_that_was_started_anew_begins_the_job_once_more(stand: Stand) -> None:
    gone = JSONResponse({"detail": "Video not found"}, 404)
    stand.faults["look"] = [None, None, gone]
    engine = engine_of("t2v", stand)
    _, events = made(engine)
    assert "was started anew; the job begins again" in notices(events)
    assert len(stand.begun) == 2 and stand.begun[0] == stand.begun[1]
    stand.faults["look"] = [None, gone, gone]
    with pytest.raises(GpuError, match="has lost the job twice"):
        made(engine)
    assert len(stand.begun) == 4


def test_a_video_of_another_shape_is_told_and_described_as_it_is(stand: Stand) -> None:
    stand.video = lambda given: film(given, frames=9, size="256x128")
    path, events = made(engine_of("t2v", stand))
    said = notices(events)
    assert "made 9 frames of 256x128 at 16 a second, not 5 frames of 480x832 at 16 a second" in said
    assert events[-1].plan.num_frames == 9 and events[-1].plan.width == 256
    assert frames_of(path) == (256, 128, 9)


# ---------------------------------------------------------------------- as people meet it


def test_a_space_over_a_server_is_used_as_any(stand: Stand, tmp_path: Path) -> None:
    stand.faults["begin"] = [None, JSONResponse({"detail": "no such seed"}, 400)]
    blocks = build_space(engine_of("t2v", stand), T2VPanel)
    blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
    try:
        client = Client(blocks.local_url, verbose=False, token=False, ssl_verify=False, download_files=str(tmp_path))
        job = client.submit(**ASKED, api_name="/generate")
        video, event = job.result(timeout=60)
        assert frames_of(Path(video["video"] if isinstance(video, dict) else video)) == (480, 832, 5)
        assert event["type"] == "done"
        with pytest.raises(Exception, match="no such seed"):
            client.submit(**ASKED, api_name="/generate").result(timeout=60)
    finally:
        blocks.close()


def test_as_many_jobs_at_once_as_the_server_is_asked_for(stand: Stand) -> None:
    engine = engine_of("t2v", stand, replicas=3)
    assert engine.line.places == 3 and engine.jobs().at_once == 3
    assert engine_of("t2v", stand).line.places == 1
