"""A Service without torch: real plans and events, and an mp4 whose every frame differs."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import av
import gradio as gr
import numpy as np
from PIL import Image

from common.catalog import CHECKPOINTS
from common.contract import (
    Backend,
    CheckpointInfo,
    Coming,
    Done,
    Event,
    Heartbeat,
    Lineage,
    Manifest,
    OnDisk,
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

    While the file `hold` exists, jobs stand still at step `hold_at`: before the first step of all at 1.
    """

    def __init__(
        self,
        mode: Mode,
        folder: Path,
        *,
        pause: float = 0.0,
        shown: Manifest | None = None,
        hold: Path | None = None,
        hold_at: int = 3,
    ) -> None:
        self.mode = mode
        self.folder = folder
        self.pause = pause
        self.hold = hold
        self.hold_at = hold_at
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
                while i == self.hold_at and self.hold and self.hold.exists():
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


class StockedService(FakeService):
    """One with `/admin`, whose models lie on a pretended disk: the first of them whole, no other.

    A download stands still at half while the file `hold` exists.
    """

    admin = "a secret of this Space"

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.disk = {i.key: OnDisk(wanted=8_000_000_000) for i in self.shown.checkpoints}
        self.disk[self.shown.default_checkpoint] = OnDisk(whole=True, bytes=8_000_000_000, wanted=8_000_000_000)
        self.clearing: Callable[[], object] = lambda: None
        self.loaded, self.videos = [self.shown.default_checkpoint], 5_000_000

    def manifest(self) -> Manifest:
        for key, disk in self.disk.items():
            if disk.coming and disk.coming.state == "running" and not (self.hold and self.hold.exists()):
                self.disk[key] = OnDisk(whole=True, bytes=disk.wanted, wanted=disk.wanted)
        infos = [i.model_copy(update={"disk": self.disk[i.key]}) for i in self.shown.checkpoints]
        told = {"loaded": self.loaded, "cache_bytes": self.videos, "administered": True}
        return self.shown.model_copy(update={"checkpoints": infos, **told})

    def unload(self) -> None:
        self.log.append("unload")
        self.loaded = []

    def clear_cache(self) -> int:
        self.log.append("clear_cache")
        self.clearing()
        freed, self.videos = self.videos, 0
        return freed

    def clear_loras(self) -> int:
        return 0

    def download(self, checkpoint: str, *, again: bool = False) -> None:
        self.log.append(f"download {checkpoint}{' again' * again}")
        coming = Coming(done=4_000_000_000, total=8_000_000_000)
        self.disk[checkpoint] = OnDisk(bytes=4_000_000_000, wanted=8_000_000_000, coming=coming)

    def cancel(self, checkpoint: str) -> None:
        coming = Coming(state="cancelled", done=4_000_000_000, total=8_000_000_000)
        self.disk[checkpoint] = self.disk[checkpoint].model_copy(update={"coming": coming})

    def delete(self, checkpoint: str) -> int:
        self.log.append(f"delete {checkpoint}")
        freed = self.disk[checkpoint].bytes
        self.disk[checkpoint] = OnDisk(wanted=8_000_000_000)
        return freed


def _gradio_request() -> object:
    with suppress(ImportError):
        from gradio.context import LocalContext

        return LocalContext.request.get(None)
    return None
