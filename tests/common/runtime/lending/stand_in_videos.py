"""A server of /v1/videos as vLLM-Omni and SGLang publish it, on loopback: real small videos, and faults on demand.

It refuses any field that the dialect's documentation does not name, and any value of another type.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import av
import numpy as np
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from PIL import Image
from starlette.datastructures import UploadFile

from tests.fleet import free_port

NUMBERS: dict[str, type] = {
    "num_frames": int, "fps": int, "num_inference_steps": int, "seed": int, "guidance_scale": float,
    "guidance_scale_2": float, "flow_shift": float, "boundary_ratio": float,
}  # fmt: skip
BOTH = {"prompt", "negative_prompt", "size", "input_reference", *NUMBERS} - {"boundary_ratio"}
FIELDS = {"vllm-omni": BOTH | {"boundary_ratio"}, "sglang": BOTH}
SCRIPT = (("queued", 0), ("in_progress", 10), ("in_progress", 50), ("in_progress", 90), ("completed", 100))
Fault = Response | None


class Dropped(Response):
    """Promises more than it sends, and hangs up."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", b"5000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id": ', "more_body": True})
        raise ConnectionResetError("as asked")


class Huge(Response):
    """Ten gigabytes by its header."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"video/mp4"), (b"content-length", b"10000000000")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"\0" * 1000, "more_body": True})
        raise ConnectionResetError("as asked")


@dataclass
class Stand:
    """What it serves, does and has heard. Each look at a job is a step further in `script`."""

    dialect: str = "vllm-omni"
    model: str = "Wan-AI/Wan2.1-T2V-1.3B-Diffusers"
    key: str = ""
    url: str = ""
    script: tuple[tuple[str, Any], ...] = SCRIPT
    error: Any = None
    video: Callable[[dict[str, Any]], bytes] | None = None
    content_type: str = "video/mp4"
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """Answers by what is asked (begin, look, content, models), used up one by one; None answers as usual."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 0
    deleted: list[str] = field(default_factory=list)

    def fault(self, what: str) -> Fault:
        waiting = self.faults.get(what, [])
        return waiting.pop(0) if waiting else None


def film(given: dict[str, Any], *, frames: int | None = None, size: str = "", sound: bool = False) -> bytes:
    """An mp4 as asked for, H.264 without any tag."""
    width, height = (int(side) for side in (size or given["size"]).split("x"))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=given["fps"], options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        track = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number in range(frames or given["num_frames"]):
            picture = np.full((height, width, 3), 20 * number % 255, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
        if track:
            wave = np.sin(np.arange(48000) / 20).astype(np.float32)[None]
            heard = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            heard.sample_rate = 48000
            container.mux(track.encode(heard))
            container.mux(track.encode())
    return file.getvalue()


def app_of(stand: Stand) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def door(request: Request, call_next: Any) -> Response:
        if stand.key and request.headers.get("authorization") != f"Bearer {stand.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        return await call_next(request)

    @app.get("/v1/models")
    def models() -> Response:
        card = {"id": stand.model, "object": "model", "created": 0, "owned_by": stand.dialect}
        if stand.dialect == "sglang":
            card |= {"root": stand.model, "task_type": "T2V", "num_gpus": 1}
        return stand.fault("models") or JSONResponse({"object": "list", "data": [card]})

    if stand.dialect == "vllm-omni":

        @app.get("/version")
        def version() -> dict[str, str]:
            return {"version": "0.30.0"}

    @app.post("/v1/videos")
    async def begin(request: Request) -> Response:
        if fault := stand.fault("begin"):
            return fault
        if "multipart/form-data" not in request.headers.get("content-type", ""):
            return JSONResponse({"detail": "a form is wanted"}, 415)
        given: dict[str, Any] = {}
        async with request.form() as form:
            for name, value in form.items():
                if name not in FIELDS[stand.dialect]:
                    return JSONResponse({"detail": f"{name} is documented nowhere"}, 422)
                if isinstance(value, UploadFile):
                    given[name] = Image.open(io.BytesIO(await value.read())).copy()
                    continue
                try:
                    given[name] = NUMBERS.get(name, str)(value)
                except ValueError:
                    problem = {"loc": ["body", name], "msg": "is no number"}
                    return JSONResponse({"detail": [problem]}, 422)
        if not given.get("prompt"):
            return JSONResponse({"detail": "prompt is required"}, 400)
        stand.begun.append(given)
        job = f"video-{len(stand.begun)}"
        stand.jobs[job] = {"given": given, "at": 0}
        return JSONResponse(told(job, "queued", 0))

    def told(job: str, status: str, progress: Any) -> dict[str, Any]:
        return {"id": job, "object": "video", "status": status, "progress": progress, "error": stand.error}

    @app.get("/v1/videos/{job}")
    def look(job: str) -> Response:
        stand.looks += 1
        if fault := stand.fault("look"):
            return fault
        if job not in stand.jobs:
            return JSONResponse({"detail": "Video not found"}, 404)
        at = stand.jobs[job]["at"]
        stand.jobs[job]["at"] = min(at + 1, len(stand.script) - 1)
        return JSONResponse(told(job, *stand.script[at]))

    @app.get("/v1/videos/{job}/content")
    def content(job: str) -> Response:
        if fault := stand.fault("content"):
            return fault
        if job not in stand.jobs:
            return JSONResponse({"detail": "Video not found"}, 404)
        body = (stand.video or film)(stand.jobs[job]["given"])
        return Response(body, media_type=stand.content_type)

    @app.delete("/v1/videos/{job}")
    def delete(job: str) -> Response:
        if stand.jobs.pop(job, None) is None:
            return JSONResponse({"detail": "Video not found"}, 404)
        stand.deleted.append(job)
        return JSONResponse({"id": job, "deleted": True, "object": "video.deleted"})

    return app


@contextmanager
def serving(stand: Stand) -> Iterator[Stand]:
    """It listens on a port of its own until the block ends."""
    port = free_port()
    config = uvicorn.Config(app_of(stand), host="127.0.0.1", port=port, log_level="critical")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    stand.url = f"http://127.0.0.1:{port}"
    try:
        yield stand
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)
