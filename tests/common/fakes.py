"""A Service without torch: real plans and events, and an mp4 whose every frame differs."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
import gradio as gr
import numpy as np
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import (
    Backend,
    CheckpointInfo,
    Done,
    Event,
    Heartbeat,
    Lineage,
    Manifest,
    Parent,
    Plan,
    Preview,
    Request,
    Stage,
    Step,
)
from common.errors import MediaError
from common.media.files import sha256
from common.modes.base import Mode
from common.panels.all import PANELS
from common.run.service import Update
from common.space import build_space


def manifest(mode: Mode, *, backend: Backend | None = None, weights: str = "nano") -> Manifest:
    rows = mode.offered("nano" if weights == "nano" else "wan")
    return Manifest(
        git_sha="test",
        mode=mode.key,
        checkpoints=[CheckpointInfo.of(row) for row in rows],
        default_checkpoint=rows[0].key,
        weights=weights,
        backend=backend or Backend(),
        presets=["fast", "quality"],
        fields=mode.request_type.model_json_schema(),
        loaded=[],
        cache_bytes=0,
        versions={},
    )


def space_of(service: FakeService) -> gr.Blocks:
    """The app of a mode's Space over a pretended engine."""
    return build_space(service, PANELS[service.mode.key])


def clip(
    path: Path, width: int, height: int, frames: int, fps: int, comment: str = "", codec: str = "libx264"
) -> None:
    """A bar that moves one step a frame."""
    with av.open(str(path), "w") as out:
        out.metadata["comment"] = comment
        stream = out.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for i in range(frames):
            picture = np.zeros((height, width, 3), np.uint8)
            picture[:, : (i + 1) * width // frames] = (90, 90, 220)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def webp(index: int, total: int) -> str:
    picture = Image.new("RGB", (64, 64), (30 + 200 * index // total, 40, 120))
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=60)
    return base64.b64encode(buffer.getvalue()).decode()


class FakeService:
    """`pause` seconds a step. `log` tells what happened, in order; `failure` is raised at step 2.

    While the file `hold` exists, jobs stand still at step 3.
    """

    def __init__(
        self,
        mode: Mode,
        folder: Path,
        *,
        pause: float = 0.0,
        shown: Manifest | None = None,
        hold: Path | None = None,
    ) -> None:
        self.mode = mode
        self.folder = folder
        self.pause = pause
        self.hold = hold
        self.shown = shown or manifest(mode)
        self.log: list[str] = []
        self.failure: Exception | None = None
        self.closed = threading.Event()
        self.seen: object = None
        self.request: Request | None = None

    def manifest(self) -> Manifest:
        return self.shown

    def plan(self, request: Request) -> Plan:
        self.log.append("plan")
        return self.mode.plan(request, self.shown.backend, weights=self.shown.weights)

    def generate(self, request: Request, plan: Plan) -> Iterator[Update]:
        for slot, handle in self.mode.media(request):
            if not Path(handle.path).is_file():
                raise MediaError(slot.name, "cannot be found", hint="upload it again")
        self.log.append("generate")
        self.seen, self.request = _gradio_request(), request
        start = time.monotonic()

        def now() -> float:
            return round(time.monotonic() - start, 3)

        def say(event: Event) -> Update:
            return None, event

        try:
            yield say(Stage(name="load", text="Loading the model", t=now()))
            total = plan.num_inference_steps
            for i in range(1, total + 1):
                time.sleep(self.pause)
                while i == 3 and self.hold and self.hold.exists():
                    time.sleep(0.05)
                    yield say(Heartbeat(t=now()))
                if i == 2 and self.failure:
                    raise self.failure
                left = (total - i) * self.pause
                yield say(Step(index=i, total=total, eta_seconds=left, t=now()))
                yield say(Preview(webp_base64=webp(i, total), t=now()))
            yield say(Stage(name="decode", text="Decoding", t=now()))
            path = self.folder / f"{self.mode.key}-{plan.seed}.mp4"
            lineage = Lineage(
                request=request.model_dump(mode="json", exclude={s.name for s in self.mode.slots}),
                plan=plan, seed=plan.seed,
                versions={}, git_sha="test", created="now", parents=self._parents(request),
            )  # fmt: skip
            fps = CHECKPOINTS[plan.checkpoint].fps
            clip(path, plan.width, plan.height, plan.num_frames, fps, comment=lineage.model_dump_json())
            done = Done(
                plan=plan, seed=plan.seed, seconds=now(), lineage=lineage, sha256=sha256(path), t=now()
            )
            yield str(path), done
            self.log.append("done")
        except GeneratorExit:
            self.log.append("closed")
            self.closed.set()
            raise

    def _parents(self, request: Request) -> list[Parent]:
        media = self.mode.media(request)
        return [Parent(sha256=sha256(Path(handle.path)), role=slot.name) for slot, handle in media]


def _gradio_request() -> object:
    with suppress(ImportError):
        from gradio.context import LocalContext

        return LocalContext.request.get(None)
    return None
