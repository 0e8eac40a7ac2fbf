"""Preparing a job: one at a time, decoded once, planned and seeded once, and gone as soon as it is stopped."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common import cache
from common.budgets import Budgets
from common.contract import Plan
from common.errors import MediaError
from common.media.clips import Clip
from common.modes.base import Mode
from common.modes.i2v import MODE as I2V
from common.modes.v2v import MODE as V2V
from common.run.local import LocalRunner
from common.runtime.device.seat import seat_of
from common.runtime.engine import Engine
from common.runtime.job import Job
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from tests.common.media.clip_files import pattern

Each = Callable[[Reader], None]


def opening(mode: Mode[Any], name: str, opened: Callable[[Any, Plan, Reader], dict[str, Any]]) -> Engine[Any]:
    """An engine of a pipeline that gets its inputs from `opened`."""

    class Opening(Engine[Any]):
        pipeline = name

        def inputs(self, request: Any, plan: Plan, reader: Reader) -> dict[str, Any]:
            return opened(request, plan, reader)

    Opening.mode = mode
    return Opening(SpaceSettings())


def engine(each: Each = lambda reader: None) -> Engine[Any]:
    """A V2V engine; `each` is called with every frame that is read."""

    def inputs(request: Any, plan: Plan, reader: Reader) -> dict[str, Any]:
        def seen(frame: Image.Image) -> Image.Image:
            each(reader)
            return frame

        need = (plan.width, plan.height)
        frames = reader.clip(request.video, "video", plan.fps, plan.num_frames, need=need, each=seen)
        reader.note("A frame was changed.")
        reader.note("A frame was changed.")
        return {"video": frames, "strength": request.strength}

    return opening(V2V, "WanVideoToVideoPipeline", inputs)


def values(folder: Path) -> dict[str, Any]:
    path = folder / "x.mp4"
    if not path.is_file():
        pattern(path)
    return {"prompt": "x", "video": {"path": str(path), "mime": "video/mp4"}}


async def follow(runner: LocalRunner, asked: dict[str, Any]) -> None:
    async for _ in runner.stream(asked):
        pass


def jobs() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "v2v-job"]


def test_six_stopped_jobs_are_gone_before_the_seventh_starts(tmp_path):
    """Each was stopped while a frame was read; their threads filled the pool and the seventh waited 48 s."""
    read: list[int] = []
    begun, held = threading.Event(), threading.Event()
    held.set()

    def each(reader: Reader) -> None:
        read.append(1)
        begun.set()
        if held.is_set():
            assert reader.job.stop.wait(60), "nobody told the job to stop"

    async def go() -> None:
        runner = LocalRunner(engine(each))
        for number in range(6):
            begun.clear()
            task = asyncio.create_task(follow(runner, values(tmp_path)))
            assert await asyncio.to_thread(begun.wait, 60)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(read) == number + 1, "a stopped job reads no further frame"
            for thread in jobs():
                thread.join(60)
            assert not jobs()
        held.clear()
        async with aclosing(runner.stream(values(tmp_path))) as seventh:
            async with asyncio.timeout(60):
                async for _, event in seventh:
                    if event.type == "step":
                        break
        assert len(read) > 7

    asyncio.run(go())


def test_media_are_opened_in_the_jobs_turn(tmp_path):
    """One job's media at a time, and no annotator beside a job that has the GPU."""
    inside, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow(reader: Reader) -> None:
        inside.set()
        assert go_on.wait(60)
        order.append("first")

    request = V2V.parse(values(tmp_path))
    first, second = engine(slow), engine(lambda reader: order.append("second"))

    def make(service: Engine) -> None:
        for _ in service.generate(request, service.plan(request)):
            pass

    one = threading.Thread(target=make, args=(first,))
    one.start()
    assert inside.wait(60)
    stopped = second.generate(request, second.plan(request))
    assert any(event.type == "queued" for _, event in stopped)
    stopped.close()  # whoever waits can be stopped
    two = threading.Thread(target=make, args=(second,))
    two.start()
    end = time.monotonic() + 60
    while len(seat_of("cpu").line._line) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(seat_of("cpu").line._line) == 2 and not order
    go_on.set()
    one.join(60)
    two.join(60)
    assert set(order[: order.index("second")]) == {"first"}, (
        "the second job read a frame while the first was at it"
    )


def test_a_job_is_planned_seeded_and_decoded_once(tmp_path, monkeypatch):
    frames: list[int] = []
    advance = Clip._advance
    monkeypatch.setattr(Clip, "_advance", lambda self: frames.append(1) or advance(self))
    service = engine()
    request = V2V.parse(values(tmp_path))
    plan = service.plan(request)
    ready = service.preflight(request, plan, Job())
    assert ready.plan.seed == plan.seed and request.seed == ready.request.seed == -1
    # Thirty frames at 10 fps are 48 at 16 fps; Wan-Nano's clips have 17, the nearest of the first eleven.
    assert (ready.plan.num_frames, len(ready.inputs["video"])) == (17, 17)
    assert len(frames) == 11
    assert [(p.role, len(p.sha256)) for p in ready.parents] == [("video", 64)]
    assert service.duration(ready) == ready.plan.gpu_duration
    frames.clear()
    events: list[Any] = [event for _, event in service.generate(request, plan)]
    assert len(frames) == 11, "what was read to be measured is not read again"
    assert [e.text for e in events if e.type == "notice"][-1] == "A frame was changed."
    assert events[-1].seed == plan.seed and events[-1].lineage.parents == list(ready.parents)


def test_a_job_outlives_its_media(tmp_path):
    service = engine()
    request = V2V.parse(values(tmp_path))
    updates: list[Any] = []
    for update in service.generate(request, service.plan(request)):
        updates.append(update)
        if update[1].type == "step":
            (tmp_path / "x.mp4").unlink(missing_ok=True)
    done = updates[-1][1]
    assert done.type == "done" and done.lineage.parents[0].role == "video"


def test_what_is_ready_crosses_to_a_worker(tmp_path):
    service = engine()
    request = V2V.parse(values(tmp_path))
    ready = service.preflight(request, service.plan(request), Job())
    copy = pickle.loads(pickle.dumps(ready))
    assert copy.plan == ready.plan and copy.request == ready.request
    assert [f.tobytes() for f in copy.inputs["video"]] == [f.tobytes() for f in ready.inputs["video"]]
    assert len(pickle.dumps(ready)) < 1.1 * sum(len(f.tobytes()) for f in ready.inputs["video"])


def test_a_bad_file_is_found_before_the_job_enters_the_line(tmp_path):
    (tmp_path / "x.png").write_bytes(b"no picture")

    def inputs(request: Any, plan: Plan, reader: Reader) -> dict[str, Any]:
        raise AssertionError("never asked")

    service = opening(I2V, "WanImageToVideoPipeline", inputs)

    others, asked = seat_of("cpu").line.enter(), {"prompt": "x", "image": {"path": str(tmp_path / "x.png")}}
    try:
        with pytest.raises(MediaError, match="image is not a readable picture"):
            asyncio.run(asyncio.wait_for(follow(LocalRunner(service), asked), 60))
    finally:
        others.leave()


def test_a_job_that_waits_for_its_turn_finds_its_clip_there(outputs):
    """Swept because it is old and the cache is full, and cleared by an admin, while others' media are opened."""
    made = values(cache.results())
    clip = Path(made["video"]["path"])
    others = seat_of("cpu").line.enter()
    done: list[Any] = []
    service = engine()
    request = service.mode.parse(made)

    def make() -> None:
        done.extend(service.generate(request, service.plan(request)))

    waiting = threading.Thread(target=make, daemon=True)
    try:
        waiting.start()
        end = time.monotonic() + 60
        while len(seat_of("cpu").line._line) < 2:
            assert waiting.is_alive() and time.monotonic() < end
            time.sleep(0.01)
        os.utime(clip, (time.time() - 3600,) * 2)
        cache.sweep(cache.own_folder(), Budgets(cache_bytes=1))
        service.clear_cache()
        assert clip.exists()
    finally:
        others.leave()
    waiting.join(60)
    assert done[-1][1].type == "done"
    service.clear_cache()
    assert not clip.exists()
