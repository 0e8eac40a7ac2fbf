"""A server of /v1/videos as an engine: what ends a job, and that nothing is left of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import HTMLResponse, JSONResponse, Response

from common.budgets import Budgets
from common.errors import GpuError, InputError, ResultError, StudioError, UnavailableError
from common.runtime.lending import server, videos
from tests.common.runtime.lending.over_videos import ASKED, engine_of, made
from tests.common.runtime.lending.stand_in_videos import Dropped, Huge, Stand, film

pytestmark = pytest.mark.usefixtures("hasty")


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (JSONResponse({"detail": "num_frames must be 81"}, 400), InputError, "server: num_frames must be 81"),
        (JSONResponse({"error": {"message": "no \x1b[31m\nsuch size" + "!" * 9999}}, 422), InputError, "such size!!"),
        (HTMLResponse("<html><head><title>x</title></head><h1>Server <b>Error</b></h1></html>", 500), GpuError,
         "answered 500: Server Error; see its log"),
        (JSONResponse({"id": ["a"]}), GpuError, "named no id"),
        (Response("[" * 100_000, media_type="application/json"), UnavailableError, "not as a server"),
        (Response("a" * 3_000_000), UnavailableError, "not as a server"),
        (Dropped(), GpuError, "did not take the job"),
        (JSONResponse({}, 401), UnavailableError, "refuses its key"),
    ],
)  # fmt: skip
def test_a_job_that_is_refused_is_told_in_the_server_s_words(
    stand: Stand, answer: Response, kind: type[StudioError], says: str
) -> None:
    stand.faults["begin"] = [answer]
    engine = engine_of("t2v", stand)
    with pytest.raises(kind, match=says) as told:
        made(engine)
    assert "\x1b" not in told.value.text and "\n" not in told.value.text and len(told.value.text) < 600
    assert "<" not in told.value.text
    made(engine)  # and the line goes on


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"code": 500, "message": "CUDA out of memory"}, "could not make it: CUDA out of memory"),
        ("out of patience", "could not make it: out of patience"),
        (None, "it says failed"),
        ([1, 2], "it says failed"),
        ({"error": [{"detail": {"message": {"error": {"error": "deep down"}}}}]}, "it says failed"),
    ],
)
def test_a_job_that_fails_there_fails_here(stand: Stand, error: Any, says: str) -> None:
    stand.script, stand.error = (("queued", 0), ("in_progress", 30), ("failed", 30)), error
    with pytest.raises(GpuError, match=says):
        made(engine_of("t2v", stand))
    assert stand.deleted == ["video-1"]


@pytest.mark.parametrize(
    ("video", "says"),
    [
        (b"all work and no play\n" * 1000, "is no video"),
        (b"", "is no video"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, "is no video"),
        (b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", "is no video"),
    ],
)
def test_a_file_that_is_no_video_is_not_kept(stand: Stand, outputs: Path, video: bytes, says: str) -> None:
    stand.video = lambda _: video
    with pytest.raises(ResultError, match=says):
        made(engine_of("t2v", stand))
    assert [*outputs.rglob("*.mp4")] == [] and [*outputs.rglob(".*.part")] == []


def test_half_a_video_and_more_than_is_kept_are_refused(
    stand: Stand, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("t2v", stand)
    stand.video = lambda given: film(given)[:700]
    with pytest.raises(ResultError, match="is no video"):
        made(engine)
    stand.faults["content"] = [Huge()]
    with pytest.raises(ResultError, match="larger than 500 MB"):
        made(engine)
    stand.video = None
    monkeypatch.setattr(server, "BUDGETS", Budgets(upload_bytes=1000))
    with pytest.raises(ResultError, match="WAN_LIMIT_UPLOAD_BYTES"):
        made(engine)
    assert [*outputs.rglob(".*.part")] == []


def test_a_job_that_never_ends_and_a_server_that_is_gone_are_given_up(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of("t2v", stand)
    stand.script = (("in_progress", 30),)
    monkeypatch.setattr(videos, "SILENCE", 0.2)
    with pytest.raises(GpuError, match="has told nothing new"):
        made(engine)
    assert stand.deleted == ["video-1"]
    monkeypatch.setattr(videos, "PATIENCE", 0.2)
    stand.faults["look"] = [HTMLResponse("", 502) for _ in range(1000)]
    with pytest.raises(GpuError, match="has not answered for"):
        made(engine)
    monkeypatch.setattr(videos, "BUSY_SECONDS", 0.0)
    stand.faults["begin"] = [JSONResponse({}, 429, headers={"retry-after": "0"}) for _ in range(1000)]
    with pytest.raises(GpuError, match="has taken no job"):
        made(engine)


def test_another_model_behind_the_same_address_makes_nothing(stand: Stand) -> None:
    engine = engine_of("t2v", stand)
    stand.model = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
    with pytest.raises(UnavailableError, match="TI2V-5B-Diffusers by now"):
        made(engine)
    assert stand.begun == []


@pytest.mark.parametrize(
    ("where", "sign"),
    [
        ("before it is taken", "is busy"),
        ("in its queue", "own line"),
        ("at work", "makes the video"),
        ("while it is fetched", "Fetching"),
    ],
)
def test_a_stop_reaches_the_server_in_every_phase(stand: Stand, where: str, sign: str) -> None:
    engine = engine_of("t2v", stand)
    if where == "before it is taken":
        stand.faults["begin"] = [JSONResponse({}, 429, headers={"retry-after": "0"}) for _ in range(100_000)]
    elif where == "while it is fetched":
        stand.faults["content"] = [Dropped() for _ in range(100_000)]
    else:
        stand.script = (("queued", 0),) if where == "in its queue" else (("in_progress", 30),)
    request = engine.mode.parse(ASKED)
    job = engine.generate(request, engine.plan(request))
    for _, event in job:
        if event.type == "stage" and sign in event.text:
            break
    job.close()
    assert stand.deleted == ([] if where == "before it is taken" else ["video-1"]) and stand.jobs == {}
    stand.faults.clear()
    stand.script = Stand().script
    made(engine)  # its place in the line is free again
