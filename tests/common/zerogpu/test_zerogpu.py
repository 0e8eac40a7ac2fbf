"""The T2V Space as ZeroGPU would run it: real `spaces`, stand-in device API, worker on the CPU."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import httpx
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package
from device_api import DeviceApi

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


class Space(NamedTuple):
    url: str
    api: DeviceApi

    def client(self) -> Any:
        from gradio_client import Client

        return Client(self.url, verbose=False)

    def submit(self, **values: Any) -> Any:
        defaults: dict[str, Any] = {
            "prompt": "a red circle", "seed": 3, "preset": "quality",
            "num_frames": 1, "num_inference_steps": 2,
        }  # fmt: skip
        return self.client().submit(**(defaults | values), api_name="/generate")


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    folder = tmp_path_factory.mktemp("zerogpu")
    with DeviceApi() as api, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        env = {
            **os.environ,
            "SPACES_ZERO_GPU": "true",
            "SPACES_ZERO_DEVICE_API_URL": api.url,
            "ZEROGPU_OFFLOAD_DIR": str(folder / "tensors"),
            "ZEROGPU_MMAP_AUTOPRUNE_PATTERN": str(folder / "nothing"),
            "GRADIO_TEMP_DIR": str(folder / "gradio"),
            "GRADIO_SERVER_PORT": str(port),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "WAN_CHECKPOINTS": "wan2.2-t2v-a14b",
            "WAN_WEIGHTS": "nano",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
        }
        log = (folder / "log").open("w+")
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("space_on_cpu.py"), "spaces/t2v/app.py"],
            cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(960):
                if child.poll() is not None or (api.of("/startup-report") and _up(url)):
                    break
                time.sleep(0.25)
            if child.poll() is not None or not _up(url):
                log.seek(0)
                pytest.fail("the Space did not start:\n" + log.read()[-4000:])
            yield Space(url, api)
            log.seek(0)
            print(log.read()[-4000:])
        finally:
            os.killpg(child.pid, signal.SIGKILL)  # the forked GPU workers outlive their Space
            child.wait(20)
            log.close()


def _up(url: str) -> bool:
    try:
        return httpx.get(url + "/config", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def frames(result: Any) -> np.ndarray:
    video = result[0]
    path = video if isinstance(video, str) else video["path"]
    with av.open(path) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


def test_zerogpu_says_its_tier_and_one_resident_checkpoint(space):
    manifest = space.client().predict(api_name="/manifest")
    assert manifest["backend"]["gpu_size"] == "xlarge" and manifest["backend"]["device"] == "cuda"
    assert manifest["loaded"] == ["wan2.2-t2v-a14b"]
    assert [c["key"] for c in manifest["checkpoints"]] == ["wan2.2-t2v-a14b"]


def test_zerogpu_streams_events_and_reserves_what_the_plan_says(space):
    plan = space.client().predict(
        prompt="a red circle", num_frames=5, num_inference_steps=3, preset="quality", api_name="/plan"
    )
    job = space.submit(num_frames=5, num_inference_steps=3)
    result = job.result(timeout=120)
    kinds = [o[1]["type"] for o in job.outputs()]
    assert kinds.count("step") == 3 and "preview" in kinds and kinds[-1] == "done"
    assert frames(result).shape == (5, 128, 128, 3)
    asked = space.api.of("/schedule")[-1]
    assert asked["gpuSize"] == "xlarge"
    assert int(float(asked["durationSeconds"])) == plan["gpu_duration"]


def test_zerogpu_lora_toggles_on_a_reused_worker(space):
    quality = frames(space.submit().result(timeout=120))
    workers = len(space.api.of("/allow"))
    fast = frames(space.submit(preset="fast").result(timeout=120))
    again = frames(space.submit().result(timeout=120))
    assert len(space.api.of("/allow")) == workers, "an idle worker is reused"
    assert np.array_equal(quality, again) and not np.array_equal(quality, fast)


def test_zerogpu_cancel_frees_the_gpu_and_the_next_job_is_as_new(space):
    fresh = frames(space.submit().result(timeout=120))
    released = len(space.api.of("/release"))
    job = space.submit(num_frames=81, num_inference_steps=50)
    deadline = time.monotonic() + 60
    while sum(o[1]["type"] == "step" for o in job.outputs()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    job.cancel()
    while len(space.api.of("/release")) == released and time.monotonic() < deadline:
        time.sleep(0.02)
    assert len(space.api.of("/release")) > released, "the GPU was not given back"
    assert not any(o[1]["type"] == "done" for o in job.outputs()), "the job was made to its end"
    assert np.array_equal(fresh, frames(space.submit().result(timeout=120)))


def until(job: Any, what: Any) -> None:
    """Waits for an event of a job."""
    deadline = time.monotonic() + 60
    while not any(what(event) for _, event in job.outputs()):
        assert time.monotonic() < deadline and not job.done(), job.outputs()
        time.sleep(0.02)


def in_line(event: Any) -> bool:
    return event["type"] == "stage" and event["text"] == "Waiting for a ZeroGPU"


def test_zerogpu_a_wait_in_line_is_told_and_its_stop_lets_the_next_one_in(space):
    space.api.line.clear()
    try:
        waiting = space.submit()
        until(waiting, in_line)
        until(waiting, lambda event: event["type"] == "heartbeat")
        waiting.cancel()
        after = space.submit()
        until(
            after, in_line
        )  # one job at a time runs here: the first has gone, though its line has not moved
    finally:
        space.api.line.set()
    assert after.result(timeout=120)[1]["type"] == "done"


def test_zerogpu_a_line_without_a_gpu_ends_in_words(space):
    from gradio_client import Client

    visitor = Client(space.url, verbose=False, headers={"x-ip-token": "visitor"})
    space.api.full = True
    try:
        with pytest.raises(Exception, match="no GPU was free for a minute; try again in") as refused:
            visitor.predict(prompt="a red circle", num_frames=1, api_name="/generate")
    finally:
        space.api.full = False
    assert refused.value.title == "ZeroGPU is busy" and "<" not in str(refused.value)


def test_zerogpu_a_killed_worker_is_said_in_words_and_the_next_job_has_a_new_one(space):
    job = space.submit(num_frames=81, num_inference_steps=50)
    until(job, lambda event: event["type"] == "step")
    for pid in {int(allowed["pid"]) for allowed in space.api.of("/allow")}:
        with suppress(ProcessLookupError):  # which of those that idled has the job, nobody says
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(Exception, match="the GPU process was ended in the middle of the job") as killed:
        job.result(timeout=300)
    assert killed.value.title == "ZeroGPU ended the job"
    assert space.submit().result(timeout=120)[1]["type"] == "done"
