"""The seam that panels talk to: LocalRunner against a service without torch, and FakeRunner."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from common.contract import Plan, Prepared, Request, Stage
from common.errors import GpuError, InputError, MediaError
from common.modes.all import MODES
from common.run.fake import FakeRunner
from common.run.local import LocalRunner
from common.run.runner import explain
from common.run.service import Update
from tests.common.fakes import FakeService, manifest

VALUES = {"prompt": "a red circle", "num_inference_steps": 3, "seed": 5}


@pytest.fixture
def service(tmp_path: Path) -> FakeService:
    return FakeService(MODES["t2v"], tmp_path)


async def collect(runner, values):
    return [item async for item in runner.stream(values)]


def test_stream_yields_events_in_order_and_the_video_with_done(service: FakeService) -> None:
    found = asyncio.run(collect(LocalRunner(service), VALUES))
    assert [e.type for _, e in found] == ["stage", *["step", "preview"] * 3, "stage", "done"]
    assert [v for v, _ in found[:-1]] == [None] * (len(found) - 1)
    video, done = found[-1]
    assert video and Path(video.path).is_file()
    assert (video.mime, video.width, video.frames, video.sha256) == ("video/mp4", 128, 17, done.sha256)
    assert service.log == ["plan", "generate", "done"]


def test_none_means_not_given(service: FakeService) -> None:
    plan = asyncio.run(LocalRunner(service).plan({**VALUES, "preset": None, "width": None}))
    assert (plan.preset, plan.width) == ("fast", 128)


@pytest.mark.parametrize(
    ("values", "error", "log"),
    [
        ({"prompt": " "}, InputError, ["plan"]),
        ({"prompt": "a", "num_frames": 80}, InputError, ["plan"]),
        ({"prompt": "a", "strenght": 1}, InputError, []),
    ],
)
def test_a_broken_rule_never_reaches_the_generation(service, values, error, log) -> None:
    with pytest.raises(error):
        asyncio.run(collect(LocalRunner(service), values))
    assert service.log == log


def test_missing_file_is_found_before_the_generation(tmp_path: Path) -> None:
    service = FakeService(MODES["i2v"], tmp_path)
    with pytest.raises(MediaError, match="image cannot be found"):
        asyncio.run(collect(LocalRunner(service), {**VALUES, "image": {"path": "/nowhere.png"}}))
    assert "generate" not in service.log


def test_an_error_in_the_middle_is_raised(service: FakeService) -> None:
    service.failure = GpuError("The GPU ran out of memory.")
    with pytest.raises(GpuError):
        asyncio.run(collect(LocalRunner(service), VALUES))


def test_closing_between_events_closes_the_service(service: FakeService) -> None:
    async def go() -> None:
        async with aclosing(LocalRunner(service).stream(VALUES)) as stream:
            async for _ in stream:
                break

    asyncio.run(go())
    assert service.log[-1] == "closed"


def test_cancelling_while_a_step_is_running_closes_the_service(tmp_path: Path) -> None:
    service = FakeService(MODES["t2v"], tmp_path, pause=0.3)

    async def go() -> None:
        task = asyncio.create_task(collect(LocalRunner(service), {**VALUES, "num_inference_steps": 50}))
        await asyncio.sleep(0.45)  # in the middle of the second step
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(go())
    assert service.closed.is_set(), "the stream must not end before the service has let go"
    assert "done" not in service.log, "the job was made to its end"


@pytest.mark.parametrize("asked", ["stream", "prepare"])
def test_cancelling_while_media_are_opened_stops_that_too(tmp_path: Path, asked: str) -> None:
    begun, left = threading.Event(), threading.Event()

    class Opening(FakeService):
        def generate(self, request: Request, plan: Plan) -> Iterator[Update]:
            begun.set()
            try:
                while True:
                    time.sleep(0.05)
                    yield None, Stage(name="prepare", text="Opening the media")
            finally:
                left.set()

        def prepare(self, request: Request, plan: Plan) -> Generator[Update, None, Prepared]:
            yield from self.generate(request, plan)
            raise AssertionError("it never ends by itself")

    runner = LocalRunner(Opening(MODES["t2v"], tmp_path))

    async def follow() -> None:
        async for _ in runner.stream(VALUES) if asked == "stream" else runner.prepare(VALUES):
            pass

    async def go() -> None:
        task = asyncio.create_task(follow())
        assert await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set(), "the stream must not end before the preparation has let go"

    asyncio.run(go())


def test_two_streams_are_independent(tmp_path: Path) -> None:
    service = FakeService(MODES["t2v"], tmp_path, pause=0.02)

    async def go():
        runner = LocalRunner(service)
        stopped = runner.stream({**VALUES, "num_inference_steps": 50})
        await anext(stopped)
        other = asyncio.create_task(collect(runner, {**VALUES, "seed": 6}))
        await asyncio.sleep(0.03)
        await stopped.aclose()
        return await other

    assert asyncio.run(go())[-1][1].type == "done"


def test_context_variables_reach_the_thread_of_the_generation(service: FakeService) -> None:
    visitor: contextvars.ContextVar[str] = contextvars.ContextVar("visitor", default="nobody")
    seen: list[tuple[str, str]] = []

    class Curious(FakeService):
        def generate(self, request: Request, plan: Plan) -> Iterator[Update]:
            seen.append((visitor.get(), threading.current_thread().name))
            yield None, Stage(name="load", text="…")
            yield from super().generate(request, plan)

    async def go() -> None:
        visitor.set("me")
        await collect(LocalRunner(Curious(MODES["t2v"], service.folder)), VALUES)

    asyncio.run(go())
    assert seen == [("me", "t2v-job")]


def test_fake_runner_follows_its_script() -> None:
    mode = MODES["t2v"]
    event = Stage(name="load", text="Loading")
    runner = FakeRunner(mode, manifest(mode), [(None, event), GpuError("busy")])
    with pytest.raises(GpuError):
        asyncio.run(collect(runner, VALUES))
    assert runner.asked == [VALUES]
    assert asyncio.run(runner.plan(VALUES)).num_inference_steps == 3


def test_explain_keeps_titles_and_shows_no_raw_exception(caplog: pytest.LogCaptureFixture) -> None:
    known = InputError("seed", "must be a number")
    assert explain(known) is known
    quota = Exception("You have exceeded your quota")
    quota.title, quota.message = "ZeroGPU quota exceeded", "You have exceeded your quota"  # type: ignore[attr-defined]
    assert (explain(quota).title, explain(quota).text) == (quota.title, quota.message)  # type: ignore[attr-defined]
    odd = explain(ValueError("boom in /home/ada/x.py"))
    assert odd.title == "Something went wrong" and odd.text.startswith("ValueError, which nobody expected")
    number = odd.text.rpartition(" ")[2]
    assert "/home/ada" not in odd.text and f"unexpected, shown as {number}" in caplog.text


def test_runner_and_contract_load_no_gradio() -> None:
    code = "import sys, common.run.runner, common.modes; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_zerogpu_spaces_is_the_package_from_pypi() -> None:
    code = "import spaces, sys; sys.exit(not ('site-packages' in spaces.__file__ and spaces.GPU))"
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=120).returncode == 0
