"""Ray for real, on the CPU: a Studio over two workers, attacked; and what is said where there is no Ray."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import httpx
import psutil
import pytest

from common.errors import InputError, UnavailableError
from common.runtime.lending import rays
from common.settings import SpaceSettings
from tests.fleet import free_port
from tests.security.attacker import Page

ROOT = Path(__file__).parents[4]
SECRET = "a visitor of this machine's own Studio"


@dataclass
class Studio:
    """A Studio of one's own, as a process; its book is read behind its back."""

    process: subprocess.Popen[bytes]
    url: str
    state: Path
    log: Path

    def rows(self, query: str) -> list[tuple]:
        with closing(sqlite3.connect(f"file:{self.state / 'jobs.sqlite'}?mode=ro", uri=True)) as book:
            return book.execute(query).fetchall()

    def workers(self) -> list[psutil.Process]:
        every = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in every if named(each).startswith("ray::Replica")]

    def states(self, jobs: list[str]) -> list[str]:
        states = dict(self.rows("select id, state from jobs"))
        return [states.get(job, "unknown") for job in jobs]


def named(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def until(true: Callable[[], bool], studio: Studio, seconds: float = 600) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert studio.process.poll() is None, studio.log.read_text()[-3000:]
        assert time.monotonic() < end, studio.log.read_text()[-3000:]
        time.sleep(0.05)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder, port = tmp_path_factory.mktemp("pool"), free_port()
    env = {**os.environ, "GRADIO_TEMP_DIR": str(folder / "files"), "WAN_STATE": str(folder / "state")}
    log = folder / "log"
    command = [sys.executable, "-m", "cli", "studio", "--port", str(port), "--gpus", "0", "--replicas", "2"]
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, "--only", "t2v"], cwd=ROOT, env=env, stdout=out, stderr=subprocess.STDOUT
        )
    made = Studio(process, f"http://127.0.0.1:{port}/", folder / "state", log)
    try:
        until(lambda: answers(made.url), made)
        yield made
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.TransportError:
        return False


def entered(studio: Studio, count: int, words: str) -> list[str]:
    page, jobs = Page(studio.url, SECRET), [str(uuid4()) for _ in range(count)]
    for number, job in enumerate(jobs):
        page.begin(f"{words}, number {number}", job)
        until(lambda job=job: studio.states([job]) != ["unknown"], studio)
    return jobs


def running(studio: Studio) -> list[str]:
    return [job for (job,) in studio.rows("select id from jobs where state = 'running'")]


def stepped(studio: Studio, job: str) -> bool:
    return bool(studio.rows(f"select 1 from events where job = '{job}' and kind = 'step'"))


@pytest.mark.slow
def test_twenty_jobs_are_done_in_order_two_at_a_time_though_a_worker_is_killed(studio: Studio) -> None:
    jobs = entered(studio, 20, "a red circle moves right")
    assert len(studio.workers()) == 2  # they start none of their own
    most = 0

    def seen(done: int) -> bool:
        nonlocal most
        most = max(most, len(running(studio)))
        return studio.states(jobs).count("done") >= done

    until(lambda: seen(4), studio)
    until(lambda: any(stepped(studio, job) for job in running(studio)), studio)
    victim = studio.workers()[0]
    victim.kill()
    until(lambda: seen(20), studio)
    assert most == 2
    assert studio.states(jobs) == ["done"] * 20
    began = dict(studio.rows("select id, began from jobs"))
    assert all(began[a] <= began[b] for a, b in pairwise(jobs))
    videos = [video for (video,) in studio.rows("select video from jobs") if video]
    assert len(set(videos)) == len(videos) >= 20


@pytest.mark.slow
def test_a_stop_ends_its_own_job_alone(studio: Studio) -> None:
    first, second, third = entered(studio, 3, "a blue square moves left")
    until(lambda: stepped(studio, first) and stepped(studio, second), studio)
    page = Page(studio.url, SECRET)
    for event in page.events:
        if page.kinds(event["inputs"]) == ["textbox"]:  # one of them is the Queue's buttons
            page.call(event["id"], [SECRET], {"act": "cancel", "job": first})
    until(lambda: studio.states([first, second, third]) == ["cancelled", "done", "done"], studio)
    assert len(studio.workers()) == 2


@pytest.mark.slow
def test_nothing_is_left_of_a_studio_that_was_killed(studio: Studio) -> None:
    every = psutil.Process(studio.process.pid).children(recursive=True)
    assert studio.workers()
    studio.process.kill()
    end = time.monotonic() + 120
    while alive := [each for each in every if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < end, alive
        time.sleep(0.2)


def test_without_ray_its_absence_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rays.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs Ray, which is not installed; try pip install 'wan-studio\[ray\]'"):
        rays.pool(SpaceSettings(engine="ray"))


def test_a_cluster_that_does_not_answer_is_told_in_one_line() -> None:
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"no Ray cluster answers at ray://127\.0\.0\.1:1 .*start one with"):
        rays.pool(SpaceSettings(engine="ray://127.0.0.1:1"))
    assert time.monotonic() - began < 60


def test_nothing_of_ray_is_imported_by_who_does_not_ask_for_it() -> None:
    code = (
        "import launch, sys; launch.prepare_environment('nano'); launch.load_space('t2v');"
        "print([m for m in sys.modules if m.split('.')[0] == 'ray' or m.endswith(('lending.rays', 'lending.pool'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def pretended(monkeypatch: pytest.MonkeyPatch, cards: int) -> list[dict]:
    asked: list[dict] = []
    actor = SimpleNamespace(remote=lambda: None)
    kind = SimpleNamespace(options=lambda **given: asked.append(given) or actor)
    resources = {"CPU": 64.0} | ({"GPU": float(cards)} if cards else {})
    ray = SimpleNamespace(
        is_initialized=lambda: True, cluster_resources=lambda: resources, remote=lambda what: kind
    )
    monkeypatch.setattr(rays, "_ray", lambda here: ray)
    return asked


@pytest.mark.parametrize(
    ("cards", "settings", "workers", "each"),
    [
        (8, SpaceSettings(engine="ray"), 8, 1),
        (8, SpaceSettings(engine="ray", cards=2), 4, 2),
        (8, SpaceSettings(engine="ray", replicas=3), 3, 1),
        (8, SpaceSettings(engine="ray", replicas=2, device="cpu"), 2, 0),
        (0, SpaceSettings(engine="ray"), 1, 0),
        (0, SpaceSettings(engine="ray://head:10001", device="cpu", replicas=5), 5, 0),
    ],
)
def test_a_pool_has_as_many_workers_as_the_cards_give(
    monkeypatch: pytest.MonkeyPatch, cards: int, settings: SpaceSettings, workers: int, each: int
) -> None:
    for name in ("WAN_ADMIN", "WAN_ENGINE_KEY"):
        monkeypatch.setenv(name, "a secret of sixteen letters")
    monkeypatch.setenv("WAN_MODELS", "/models")
    asked = pretended(monkeypatch, cards)
    assert rays.pool(settings).line.places == workers == len(asked)
    for options in asked:
        told = options["runtime_env"]["env_vars"]
        assert options["num_gpus"] == each and options["max_restarts"] == -1
        assert told["WAN_MODELS"] == "/models" and "a secret" not in str(told)
        assert told["WAN_ENGINE"] == told["WAN_ADMIN"] == ""
        assert (told.get("CUDA_VISIBLE_DEVICES") == "") is (each == 0)


@pytest.mark.parametrize(
    ("cards", "settings", "told"),
    [
        (2, SpaceSettings(engine="ray", replicas=3), "WAN_REPLICAS must fit 2 cards; got 3"),
        (2, SpaceSettings(engine="ray", cards=4), "WAN_REPLICAS must fit 2 cards; got 4"),
        (0, SpaceSettings(engine="ray://head:10001"), "needs cards; the cluster at ray://head:10001 has none"),
    ],
)
def test_more_cards_than_there_are_is_told(
    monkeypatch: pytest.MonkeyPatch, cards: int, settings: SpaceSettings, told: str
) -> None:
    pretended(monkeypatch, cards)
    with pytest.raises(InputError, match=told):
        rays.pool(settings)


TOKEN = secrets.token_hex(32)
HEAD = """
{own}
exec {python} -m ray.scripts.scripts start --head --block --port {port} --ray-client-server-port {client} \\
    --include-dashboard false --num-gpus 0 --object-store-memory 200000000 --node-ip-address 127.0.0.1
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Ray as somebody else has started it, its address and what who uses it must know.

    Where a process may have mounts of its own, it has another disk where our cache lies.
    """
    port, client, cache = free_port(), free_port(), tmp_path / "cache"
    cache.mkdir()
    apart = subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode == 0
    own = f"mount -t tmpfs none {cache}" if apart else ""
    script = HEAD.format(own=own, python=sys.executable, port=port, client=client)
    known = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | known
    with (tmp_path / "head").open("wb") as out:
        head = subprocess.Popen(
            [*(["unshare", "--mount"] if apart else []), "bash", "-c", script],
            cwd=tmp_path, env=env, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield f"ray://127.0.0.1:{client}", {**known, "GRADIO_TEMP_DIR": str(cache)}
    finally:
        every = psutil.Process(head.pid).children(recursive=True)
        head.terminate()
        psutil.wait_procs([psutil.Process(head.pid)] if psutil.pid_exists(head.pid) else [], 30)
        for each in every:
            if each.is_running():
                each.kill()
        head.wait(30)


@pytest.mark.slow
def test_a_cluster_elsewhere_is_sent_this_code_and_hands_back_its_files(
    cluster: tuple[str, dict[str, str]], tmp_path: Path
) -> None:
    address, known = cluster
    env = {**os.environ, **known, "WAN_ENGINE": address, "WAN_REPLICAS": "1", "WAN_DEVICE": "cpu"}
    end = time.monotonic() + 240
    while True:  # until somebody listens there
        examples = ROOT / "common/examples"
        done = subprocess.run(
            [sys.executable, "-m", "cli", "generate", "s2v", "a red circle.", "--seed", "3", "--json",
             "--image", str(examples / "red-circle.png"), "--audio", str(examples / "speech.mp3"),
             "--out", str(tmp_path / "out.mp4")],
            cwd=ROOT, env=env, capture_output=True, text=True,
        )  # fmt: skip
        if "no Ray cluster answers" not in done.stderr or time.monotonic() > end:
            break
        assert done.returncode == 1 and len(done.stderr.strip().splitlines()[-1:]) == 1
        time.sleep(1)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(json.loads(done.stdout)["plan"]["segments"]) == 3  # each went back and forth
    assert (tmp_path / "out.mp4").stat().st_size > 10_000
    wrong = subprocess.run(
        [sys.executable, "-m", "cli", "generate", "t2v", "a red circle"],
        cwd=ROOT, env={**env, "RAY_AUTH_TOKEN": "0" * 64}, capture_output=True, text=True,
    )  # fmt: skip
    assert wrong.returncode == 1 and "Ray does not work here" in wrong.stderr
