"""The T2V Space as ZeroGPU would run it: real `spaces`, stand-in device API, worker on the CPU."""

from __future__ import annotations

import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

sys.path.insert(0, str(Path(__file__).parent))  # importlib mode gives tests no package
from a_space import Space, frames, started
from device_api import Refusal
from space_on_cpu import in_8_bits

import nano
from common import placement
from common.runtime.device.backend import dtype_of

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.slow


A14B = "wan2.2-t2v-a14b"
DEFAULTS: dict[str, Any] = {
    "prompt": "a red circle", "seed": 3, "preset": "quality", "num_frames": 1, "num_inference_steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Space]:
    with started(tmp_path_factory.mktemp("zerogpu"), "t2v", DEFAULTS, WAN_CHECKPOINTS=A14B) as space:
        yield space


@pytest.fixture(autouse=True)
def _as_usual(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "space" in request.fixturenames:
        request.getfixturevalue("space").api.as_usual()


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


def test_zerogpu_packs_its_checkpoint_and_forks_for_the_gpu(space):
    space.submit().result(timeout=120)
    packs = [f.stat().st_size for f in space.packed.iterdir()]
    halves = [f.stat().st_size for f in nano.find("moe").glob("*/*.safetensors")]
    # On disk in fp16: so the experts and the text encoder stay; the VAE is in full. LoRAs wait to be asked for.
    assert len(halves) == 4 and len(packs) == 1 and packs[0] > sum(halves) + max(halves)
    pids = {int(allowed["pid"]) for allowed in space.api.of("/allow")}
    assert pids and space.pid not in pids, "the GPU goes to a child, not to the Space"


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., np.ndarray]:
    """A job in this process, in the formats of a GPU but without any of `spaces`."""
    from common.modes.t2v import MODE, Request
    from common.runtime.engine import Engine
    from common.runtime.model import load
    from common.settings import SpaceSettings

    class T2V(Engine[Request]):
        mode = MODE
        pipeline = "WanPipeline"

        def inputs(self, request: Any, plan: Any, reader: Any) -> dict[str, Any]:
            return {}

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    monkeypatch.setattr(load, "dtype_of", lambda part, _: dtype_of(part, "cuda"))

    def run(**values: Any) -> np.ndarray:
        engine = T2V(SpaceSettings(checkpoints=("wan2.2-t2v-a14b",)))
        request = engine.mode.parse(DEFAULTS | values)
        *_, (path, _) = engine.generate(request, engine.plan(request))
        engine.unload()
        return frames([path])

    return run


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(((a.astype(float) - b.astype(float)) ** 2).mean(), 1e-9))


def test_zerogpu_lora_toggles_on_a_reused_worker(space, plain):
    """Fast, Quality and Fast again on one worker, each the picture of a process that has made nothing else."""
    values = {"num_inference_steps": 4, "num_frames": 5}
    space.submit().result(timeout=120)
    workers = len(space.api.of("/allow"))
    fast, quality, again = (
        frames(space.submit(preset=preset, **values).result(timeout=120))
        for preset in ("fast", "quality", "fast")
    )
    assert len(space.api.of("/allow")) == workers, "an idle worker is reused"
    assert np.array_equal(fast, again)
    alone = {preset: plain(preset=preset, **values) for preset in ("fast", "quality")}
    apart = psnr(alone["fast"], alone["quality"])
    for made, preset in ((fast, "fast"), (quality, "quality")):
        assert psnr(made, alone[preset]) > max(40, apart + 10), (preset, psnr(made, alone[preset]), apart)


def test_zerogpu_packs_8_bit_weights_and_toggles_loras_on_them(space, plain, tmp_path, monkeypatch):
    """As the Spaces of 14B models on `large` hold them: torchao's tensors, which `spaces` cannot move whole."""
    values = {"num_inference_steps": 4}
    wide = {p: frames(space.submit(preset=p, **values).result(timeout=120)) for p in ("fast", "quality")}
    with started(tmp_path, "t2v", DEFAULTS, WAN_CHECKPOINTS=A14B, FLOAT8_BLOCKS="1") as thin:
        quality, fast, again = (
            frames(thin.submit(preset=preset, **values).result(timeout=120))
            for preset in ("quality", "fast", "quality")
        )
        assert len(thin.api.of("/allow")) == 1, "one worker made all three"
        saved = packed(space) - packed(thin)
    assert np.array_equal(quality, again)
    shapes = [
        file.get_slice(name).get_shape()
        for expert in ("transformer", "transformer_2")
        for path in (nano.find("moe") / expert).glob("*.safetensors")
        for file in [safe_open(path, "pt")]
        for name in file.keys()  # noqa: SIM118 - not a dictionary
        if name.startswith("blocks.") and name.endswith(".weight")
    ]
    blocks = sum(math.prod(shape) for shape in shapes if len(shape) == 2)
    # A byte of two for each weight; the rows' scales come back in whole pages.
    assert 0.75 * blocks < saved < blocks, (saved, blocks)
    monkeypatch.setattr(placement, "place", in_8_bits(placement.place))
    for made, preset in ((fast, "fast"), (quality, "quality")):
        alone = plain(preset=preset, **values)
        seen = psnr(made, alone), psnr(made, wide[preset]), psnr(fast, quality)
        # Seen: the very same picture, 26 dB from that of 16 bits, and 18 between the presets.
        assert seen[0] > 40 and 23 < seen[1] < 40 and seen[2] < 22, (preset, seen)


def packed(space: Space) -> int:
    return sum(file.stat().st_size for file in space.packed.iterdir())


def test_zerogpu_a_reused_worker_keeps_nothing_of_a_different_request(space):
    first = frames(space.submit().result(timeout=120))
    other = {
        "width": 192,
        "height": 128,
        "num_frames": 5,
        "flow_shift": 3.0,
        "seed": 9,
        "guidance_scale": 2.0,
    }
    assert frames(space.submit(**other).result(timeout=120)).shape == (5, 128, 192, 3)
    assert np.array_equal(first, frames(space.submit().result(timeout=120)))


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


QUOTA = {"left": 20, "wait": 3600}


@pytest.mark.parametrize(
    ("refusal", "visitor", "title", "text"),
    [
        (Refusal(429, QUOTA), True, "ZeroGPU quota exceeded",
         r"\(\d+s requested vs. 20s left\). Try again in 1:00:00. .*A shorter job may still fit: choose Fast"),
        (Refusal(429, QUOTA, {"X-Authenticated": "pro"}), True, "ZeroGPU quota exceeded", "Pro ZeroGPU quota"),
        (Refusal(429, {"left": 0, "wait": 0}), True, "ZeroGPU quota exceeded", "runs limit"),
        (Refusal(429, QUOTA), False, "ZeroGPU quota exceeded", "named no visitor.*sign in to Hugging Face"),
        (Refusal(429, {"left": 0, "wait": -1}), True, "ZeroGPU job too long",
         r"asks for \d+ GPU seconds, more than ZeroGPU allows at once; choose Fast"),
        (Refusal(429, QUOTA, {"X-Approve-Result": "pending-overquota-exceeded"}), True,
         "ZeroGPU pending credits exceeded", "Try again once some of those tasks have completed"),
        (Refusal(503), True, "ZeroGPU is busy", "no GPU was free for a minute; try again in a few minutes"),
        (Refusal(401), True, "ZeroGPU client error", "the page was open for too long; reload it and try again"),
        (Refusal(500), True, "ZeroGPU does not answer", "no GPU could be asked for .*; try again in a minute"),
    ],
)  # fmt: skip
def test_zerogpu_refusals_are_sentences_with_the_way_out(space, refusal, visitor, title, text):
    from gradio_client import Client

    space.api.refusal = refusal
    client = Client(space.url, verbose=False, headers={"x-ip-token": "visitor"} if visitor else {})
    with pytest.raises(Exception, match=text) as refused:
        client.predict(**DEFAULTS, api_name="/generate")
    assert refused.value.title == title and "<" not in str(refused.value)
    space.api.as_usual()
    assert space.submit().result(timeout=120)[1]["type"] == "done", "and the next one has its GPU"


def test_zerogpu_that_is_slow_to_answer_is_waited_for(space):
    space.api.delay = 1.5
    job = space.submit()
    assert job.result(timeout=120)[1]["type"] == "done"
    kinds = [event["type"] for _, event in job.outputs()]
    assert "heartbeat" in kinds[: kinds.index("step")], "the visitor sees that it is alive"


@pytest.mark.parametrize("path", ["/schedule", "/allow"])
def test_zerogpu_an_answer_that_is_lost_before_the_work_is_an_error_in_words(space, path):
    for pid in {int(allowed["pid"]) for allowed in space.api.of("/allow")}:
        with suppress(ProcessLookupError):  # only a new worker says that it is there
            os.kill(pid, signal.SIGKILL)
    space.api.dropped[path] = 1
    with pytest.raises(Exception, match="try again") as lost:
        space.submit().result(timeout=120)
    assert lost.value.title in ("ZeroGPU does not answer", "ZeroGPU worker failed")
    assert space.submit().result(timeout=120)[1]["type"] == "done"


def test_zerogpu_an_answer_that_is_lost_after_the_work_costs_nobody_the_video(space):
    """`spaces` then waits for the worker's next word for 20 minutes, with this Space's line behind it."""
    began = time.monotonic()
    space.api.dropped["/release"] = 1
    job = space.submit()
    assert job.result(timeout=60)[1]["type"] == "done"
    assert space.submit(seed=4).result(timeout=60)[1]["type"] == "done"
    assert time.monotonic() - began < 100


def test_zerogpu_a_line_that_breaks_off_is_stood_in_again(space):
    space.api.line.clear()
    space.api.dropped["line"] = 1
    job = space.submit()
    until(job, in_line)
    asked = len(space.api.calls)
    end = time.monotonic() + 30
    while space.api.dropped["line"] and time.monotonic() < end:
        time.sleep(0.05)
    space.api.line.set()
    assert job.result(timeout=120)[1]["type"] == "done" and len(space.api.calls) > asked


def test_zerogpu_workers_that_die_at_random_end_in_a_video_or_in_words(space):
    chance = random.Random(12)
    fresh = frames(space.submit().result(timeout=120))
    endings = []
    for _ in range(5):
        job = space.submit(num_frames=17, num_inference_steps=12)
        until(job, lambda event: event["type"] in ("stage", "step") and not in_line(event))
        time.sleep(chance.uniform(0, 3))
        for pid in {int(allowed["pid"]) for allowed in space.api.of("/allow")}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            endings.append(job.result(timeout=120)[1]["type"])
        except Exception as error:
            assert getattr(error, "title", "") == "ZeroGPU ended the job", repr(error)
            endings.append("words")
        assert np.array_equal(fresh, frames(space.submit().result(timeout=120)))
    assert "words" in endings and set(endings) <= {"words", "done"}
