"""The three ways in which a Studio is reached: the launcher, a Space of its own, and `deploy local`."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from common.modes.all import MODES
from tests import studio

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class House:
    """A running set of apps: the addresses of its router (none for a lone Space) and of modes by key."""

    modes: dict[str, str]
    router: str | None
    secret: Path
    pids: list[int]

    @property
    def apps(self) -> list[str]:
        return [*self.modes.values(), *([self.router] if self.router else [])]


@pytest.fixture(scope="session")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of this machine that no visitor may see; also one that lies in the apps' own folder."""
    path = tmp_path_factory.mktemp("private") / "token.png"
    path.write_text(f"hf_{secrets.token_hex(16)}")
    return path


def free_ports(count: int) -> int:
    """The first of `count` ports in a row that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            first = probe.getsockname()[1]
        if first + count < 65000:
            return first


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.3)
    raise AssertionError(f"{url} did not answer: {log.read_text()[-2000:]}")


def end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Iterator[House]:
    with studio.process(tmp_path_factory.mktemp("launcher"), *MODES) as (base, pid):
        yield House({key: f"{base}/{key}/" for key in MODES}, f"{base}/", secret, [pid])


@pytest.fixture(scope="session")
def space(tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Iterator[House]:
    folder, port = tmp_path_factory.mktemp("space"), free_ports(1)
    log = folder / "log"
    env = {**os.environ, "GRADIO_SERVER_PORT": str(port), "GRADIO_TEMP_DIR": str(folder / "files")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "spaces/vace/app.py")], cwd=folder, env=env, stdout=out, stderr=out
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/config", process, log)
        yield House({"vace": f"http://127.0.0.1:{port}/"}, None, secret, [process.pid])
    finally:
        end(process)


@pytest.fixture(scope="session")
def local(tmp_path_factory: pytest.TempPathFactory, secret: Path) -> Iterator[House]:
    """Bundles of the demo federation, each a process, on ports in a row: the router first. The other modes' pages
    are the launcher's too."""
    from deploy import federation, targets
    from deploy.local import LocalFederation, demo

    every = targets.resolve(federation.load(profile="demo"), "ada", ROOT)
    found = demo([t for t in every if t.is_router or t.mode in ("i2v", "vace")])
    said: list[str] = []
    running = LocalFederation(
        found, tmp_path_factory.mktemp("local"), free_ports(len(found)), say=said.append
    )
    try:
        running.start(240)
        router = next(t for t in found if t.is_router)
        modes = {t.mode: running.url(t.name) + "/" for t in found if not t.is_router}
        pids = [p.pid for p in running.programs if p.pid]
        yield House(modes, running.url(router.name) + "/", secret, pids)
    finally:
        running.stop()


@pytest.fixture(params=["launcher", "space", "local"])
def house(request: pytest.FixtureRequest) -> House:
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["launcher", "local"])
def studio_house(request: pytest.FixtureRequest) -> House:
    """Those that have a router."""
    return request.getfixturevalue(request.param)
