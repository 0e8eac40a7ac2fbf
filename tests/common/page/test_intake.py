"""What a Space says of its jobs, and how it drains: a real Space app over a pretended engine that can be held."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from common.contract import Jobs, Manifest
from common.errors import InputError
from common.modes.all import MODES
from common.page import intake as intakes
from common.run.remote import ask_manifest
from tests.common.fakes import StockedService, manifest, space_of

PROMPT = {"prompt": "a red circle", "num_frames": 5, "num_inference_steps": 2, "seed": 1}
KEY = StockedService.admin
UPDATED = "Text to Video is being updated and takes no new jobs; try again in a minute"


class Held:
    """A running Space whose jobs stand still before their first step while `hold` is there."""

    def __init__(self, folder: Path) -> None:
        self.hold = folder / "hold"
        self.hold.touch()
        self.service = StockedService(MODES["t2v"], folder, hold=self.hold, hold_at=1)
        self.blocks = space_of(self.service)
        self.blocks.launch(server_name="127.0.0.1", prevent_thread_lock=True, quiet=True)
        self.url = str(self.blocks.local_url)

    def manifest(self) -> Manifest:
        return ask_manifest(self.url, {}, httpx.Timeout(10))

    def jobs(self) -> tuple[int, int]:
        told = self.manifest().jobs
        assert told is not None
        return told.running, told.waiting

    def submit(self, seed: int = 1) -> Any:
        client = Client(self.url, verbose=False, token=False, ssl_verify=False, download_files=False)
        return client.submit(**{**PROMPT, "seed": seed}, api_name="/generate")

    def admin(self, action: object, key: object = KEY) -> httpx.Response:
        return httpx.post(f"{self.url}gradio_api/run/admin", json={"data": [key, action]}, timeout=10)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    space = Held(tmp_path)
    yield space
    space.hold.unlink(missing_ok=True)
    space.blocks.close()


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_jobs_of_everybody_count_those_too_that_wait_before_our_handlers(held: Held) -> None:
    assert held.jobs() == (0, 0)
    first = held.submit(1)
    until(lambda: held.jobs() == (1, 0), "the first runs")
    more = [held.submit(2), held.submit(3)]
    until(lambda: held.jobs() == (1, 2), "two wait in Gradio's queue")
    more[1].cancel()
    until(lambda: held.jobs() == (1, 1), "who went away does not count")
    held.hold.unlink()
    assert [job.result(60)[1]["seed"] for job in (first, more[0])] == [1, 2]
    until(lambda: held.jobs() == (0, 0), "all are over")


def test_what_the_service_does_at_once_and_what_other_modes_have_on_its_device_counts(held: Held) -> None:
    held.service.shown = manifest(MODES["t2v"]).model_copy(
        update={"jobs": Jobs(running=2, waiting=3, at_once=4)}
    )
    told = held.manifest().jobs
    assert told is not None and (told.running, told.waiting, told.at_once) == (4, 1, 4)
    job = held.submit()
    until(lambda: "generate" in held.service.log, "it runs")
    assert held.jobs() == (4, 1), "a job that runs is in the service's line already"
    held.hold.unlink()
    job.result(60)


def test_drain_finishes_what_is_here_and_refuses_the_next_at_once(held: Held) -> None:
    running, waiting = held.submit(1), None
    until(lambda: held.jobs() == (1, 0), "one runs")
    waiting = held.submit(2)
    until(lambda: held.jobs() == (1, 1), "one waits")
    assert held.admin("drain").json()["data"][0] == {"action": "drain", "freed_bytes": 0}
    assert held.manifest().draining
    with pytest.raises(AppError, match=UPDATED):
        held.submit(3).result(30)  # the engine is held: it has not waited for its turn
    assert held.jobs() == (1, 1)
    held.hold.unlink()
    assert [job.result(60)[1]["seed"] for job in (running, waiting)] == [1, 2]
    with pytest.raises(AppError, match=UPDATED):
        held.submit(4).result(30)
    held.admin("undrain")
    assert not held.manifest().draining
    assert held.submit(5).result(60)[1]["seed"] == 5
    assert held.service.log.count("generate") == 3


def test_a_draining_space_still_answers_and_plans(held: Held) -> None:
    held.admin("drain")
    client = Client(held.url, verbose=False, token=False, ssl_verify=False)
    assert client.predict(**PROMPT, api_name="/plan")["num_frames"] == 5
    assert held.jobs() == (0, 0)


@pytest.mark.parametrize("key", ["", "1", KEY[:-1], KEY + " ", None, [KEY], {"key": KEY}, True, "x" * 100_000])
def test_nobody_drains_a_space_without_its_secret(held: Held, key: object) -> None:
    for action in ("drain", "undrain"):
        reply = held.admin(action, key)
        assert reply.status_code >= 400 and InputError.title in reply.text
    assert not held.manifest().draining
    for strange in (["drain"], {"drain": 1}, "drain 1", "Drain", None):
        assert held.admin(strange).status_code >= 400
    assert not held.manifest().draining


def test_a_drain_of_who_never_came_back_ends_by_itself(held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intakes, "DRAIN_SECONDS", 0.5)
    held.admin("drain")
    until(lambda: not held.manifest().draining, "it takes jobs again")
    held.hold.unlink()
    assert held.submit(6).result(60)[1]["seed"] == 6


SPACE = """
import sys
from pathlib import Path
from common.modes.all import MODES
from common.page import intake
from tests.common.fakes import FakeService, space_of
intake.LINGER_SECONDS = 1.0
folder = Path(sys.argv[2])
service = FakeService(MODES["t2v"], folder, hold=folder / "hold", hold_at=1)
space_of(service).launch(server_name="127.0.0.1", server_port=int(sys.argv[1]), quiet=True)
"""


@pytest.fixture
def process(tmp_path: Path, free_port: int) -> Iterator[tuple[subprocess.Popen, str, Path]]:
    """A Space in a process of its own, which Gradio serves as it does a Space of the Hub."""
    command = [sys.executable, "-c", SPACE, str(free_port), str(tmp_path)]
    child = subprocess.Popen(command, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)})
    url = f"http://127.0.0.1:{free_port}/"

    def up() -> bool:
        assert child.poll() is None
        try:
            return bool(ask_manifest(url, {}, httpx.Timeout(5)))
        except (httpx.HTTPError, ValueError):
            return False

    until(up, "it starts")
    yield child, url, tmp_path / "hold"
    child.kill()
    child.wait(10)


def test_sigterm_lets_the_job_end_refuses_the_next_and_ends_the_process(
    process: tuple[subprocess.Popen, str, Path],
) -> None:
    child, url, hold = process
    hold.touch()
    client = Client(url, verbose=False, token=False, ssl_verify=False, download_files=False)
    job = client.submit(**PROMPT, api_name="/generate")
    until(lambda: ask_manifest(url, {}, httpx.Timeout(10)).jobs == Jobs(running=1), "it runs")
    child.send_signal(signal.SIGTERM)
    until(lambda: ask_manifest(url, {}, httpx.Timeout(10)).draining, "it drains")
    with pytest.raises(AppError, match=UPDATED):
        client.submit(**PROMPT, api_name="/generate").result(30)
    assert child.poll() is None
    hold.unlink()
    video, event = job.result(60)
    assert event["type"] == "done"
    assert httpx.get(video["url"]).content[4:8] == b"ftyp", "it is there to be fetched for a while"
    assert child.wait(30) == 128 + signal.SIGTERM


def test_sigterm_ends_an_idle_space_at_once_and_a_second_one_a_busy_one(
    process: tuple[subprocess.Popen, str, Path],
) -> None:
    child, url, hold = process
    hold.touch()
    client = Client(url, verbose=False, token=False, ssl_verify=False, download_files=False)
    client.submit(**PROMPT, api_name="/generate")
    until(lambda: ask_manifest(url, {}, httpx.Timeout(10)).jobs == Jobs(running=1), "it runs")
    child.send_signal(signal.SIGTERM)
    until(lambda: ask_manifest(url, {}, httpx.Timeout(10)).draining, "it drains")
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == 128 + signal.SIGTERM and hold.exists()
