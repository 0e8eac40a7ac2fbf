"""Local federations: supervision with tiny programs, then (slow) the real bundles as separate processes."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common import ports
from common.errors import InputError
from deploy import federation, local, targets, venvs
from deploy.supervise import Program, Supervisor
from tests.deploy.conftest import Desk


def program(tmp_path: Path, name: str, code: str) -> Program:
    env = dict(os.environ)
    return Program(name, [sys.executable, "-c", code], tmp_path, env, tmp_path / f"{name}.log")


def eventually(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    made: list[Supervisor] = []

    def start(*programs: Program) -> Supervisor:
        made.append(Supervisor(programs, say=lambda _: None))
        made[-1].start()
        return made[-1]

    yield start
    for supervisor in made:
        supervisor.stop()


def test_deploy_local_restarts_what_crashes_and_leaves_the_rest(
    tmp_path: Path, supervised: Callable[..., Supervisor]
) -> None:
    steady = program(tmp_path, "steady", "import time; time.sleep(60)")
    victim = program(tmp_path, "victim", "import time; time.sleep(60)")
    supervised(steady, victim)
    eventually(lambda: steady.pid and victim.pid)
    first, other = victim.pid, steady.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: victim.pid not in (None, first))
    assert (steady.pid, steady.starts, victim.starts) == (other, 1, 2)


def test_deploy_local_backs_off_from_a_program_that_keeps_crashing(
    tmp_path: Path, supervised: Callable[..., Supervisor]
) -> None:
    broken = program(tmp_path, "broken", "raise SystemExit('no')")
    supervised(broken)
    eventually(lambda: broken.backoff >= 2.0)
    assert broken.starts <= 3
    assert "no" in broken.log.read_text()


def test_deploy_local_stop_ends_children_and_those_that_ignore_it(
    tmp_path: Path, supervised: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.supervise.GRACE_SECONDS", 0.5)
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    stubborn = program(tmp_path, "stubborn", code)
    supervisor = supervised(stubborn)
    eventually(lambda: stubborn.log.exists() and stubborn.log.read_text().strip())
    pids = [stubborn.pid, int(stubborn.log.read_text())]
    supervisor.stop()
    eventually(lambda: not any(alive(p) for p in pids if p))
    assert stubborn.starts == 1


def test_deploy_local_gives_each_program_its_own_files_and_the_router_its_table(
    desk: Desk, tmp_path: Path
) -> None:
    """Nothing is started here: ports, environment and bundles are settled when the object is made."""
    made = local.LocalFederation(
        desk.targets(), tmp_path, 7860, root=desk.root, addresses={"i2v": "ada/wan-studio-demo-i2v"}
    )
    env = {p.name: p.env for p in made.programs}
    assert {n: e["GRADIO_SERVER_PORT"] for n, e in env.items()} == {
        "t2v": "7861",
        "i2v": "7862",
        "router": "7860",
    }
    table = '{"t2v":["http://127.0.0.1:7861"],"i2v":["ada/wan-studio-demo-i2v"]}'
    assert env["router"]["WAN_FEDERATION"] == table
    assert "WAN_FEDERATION" not in env["t2v"]
    assert len({e["GRADIO_TEMP_DIR"] for e in env.values()}) == 3
    assert all((p.folder / "app.py").is_file() for p in made.programs)


def test_deploy_local_runs_on_nano_unless_told_otherwise(desk: Desk) -> None:
    wanted = local.demo(targets.resolve(federation.load(), "ada", desk.root))
    assert {t.variables.get("WAN_WEIGHTS") for t in wanted} == {"nano"}
    assert all("WAN_GPU_SIZE" not in t.variables and not t.volumes for t in wanted)


def test_deploy_local_wants_free_ports() -> None:
    """Another program on a mode's port could answer in its place."""
    first = free_ports(2)
    with socket.socket() as other:
        other.bind(("127.0.0.1", first + 1))
        other.listen()
        with pytest.raises(InputError, match=f"port {first + 1} of 127.0.0.1: address already in use"):
            ports.check(first, 2)
    ports.check(first, 2)


def test_deploy_local_venv_replaces_torch_and_torchvision_alone() -> None:
    text = "torch==2.11.0\ntorchvision==0.26.0\ntorchao==0.18.0\nav==1\n"
    assert venvs.replace_torch(text, "torch==2.13.0") == "torch==2.13.0\ntorchao==0.18.0\nav==1\n"
    assert venvs.replace_torch("av==1\n", "torch==2.13.0") == "av==1\n"
    assert venvs.platform().splitlines()[0].startswith("gradio[oauth,mcp]==")


def wheel(folder: Path, name: str) -> str:
    """The path of a wheel that holds one module and says its own name."""
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", f"NAME = {name!r}")
        file.writestr(f"{name}-1.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        file.writestr(f"{name}-1.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{name}-1.dist-info/RECORD", "")
    return str(path)


def test_deploy_local_a_venv_starts_from_the_one_that_lacks_least(tmp_path: Path) -> None:
    """What two Spaces both ask for is installed once."""
    one, two, three = (wheel(tmp_path, name) for name in ("one", "two", "three"))
    said: list[str] = []
    folder = tmp_path / "venvs"

    def make(*lines: str) -> Path:
        python = venvs.venv("".join(f"{line}\n" for line in lines), folder, said.append)
        site = next(python.parent.parent.glob("lib/python*/site-packages"))
        assert {f.stem for f in site.glob("*.py")} == {Path(line).name.split("-")[0] for line in lines}
        run = subprocess.run(
            [python, "-c", "import sys, one; print(sys.prefix, one.NAME)"], capture_output=True, text=True
        )
        assert run.stdout.split() == [str(python.parent.parent), "one"], run.stderr
        return site

    first, both, apart = make(one), make(one, two), make(one, three)
    assert (first / "one.py").samefile(both / "one.py") and (first / "one.py").samefile(apart / "one.py")
    assert make(two, one) != both and len(said) == 4
    assert make(one) == first and len(said) == 4, "a finished venv is used as it is"


def test_deploy_local_a_venv_that_was_killed_in_the_middle_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (f"{wheel(tmp_path, name)}\n" for name in ("one", "two"))
    folder, link = tmp_path / "venvs", os.link
    base = venvs.venv(one, folder, lambda _: None).parent.parent
    left = [40]

    def killed(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        link(*args)

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt):
        venvs.venv(one + two, folder, lambda _: None)
    monkeypatch.undo()
    assert [done.parent for done in folder.glob("*/done")] == [base]
    made = venvs.venv(one + two, folder, lambda _: None)
    assert subprocess.run([made, "-c", "import one, two"]).returncode == 0
    (base / "lib").rename(base / "other")  # as if another Python had made it
    assert venvs._largest_part(one, folder) is None


def free_ports(count: int) -> int:
    """The first of `count` neighbouring free ports, seldom those that another test has just found free."""
    for base in random.sample(range(8100, 30_000, count), 50):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for i, s in enumerate(sockets):
                s.bind(("127.0.0.1", base + i))
            return base
        except OSError:
            continue
        finally:
            for s in sockets:
                s.close()
    raise RuntimeError("no free ports")


def _children(task: Path) -> list[int]:
    return [int(child) for child in (task / "children").read_text().split()]


def descendants(pid: int) -> list[int]:
    """Every process below one, whichever thread has started it."""
    found = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in _children(task)]
    return [*found, *(below for child in found for below in descendants(child))]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_deploy_local_command_leaves_nothing_behind(desk: Desk, how: signal.Signals) -> None:
    """The command itself, with apps that only serve /config: up, ended in each way, nothing left."""
    server = (
        "import json, os\nfrom http.server import BaseHTTPRequestHandler as B, HTTPServer\n"
        "class H(B):\n"
        "    def do_GET(self):\n"
        "        self.send_response(200); self.end_headers(); self.wfile.write(b'{}')\n"
        "    def log_message(self, *a): pass\n"
        "HTTPServer(('127.0.0.1', int(os.environ['GRADIO_SERVER_PORT'])), H).serve_forever()\n"
    )
    for path in ("spaces/t2v/app.py", "spaces/i2v/app.py", "router/app.py"):
        desk.write(path, server)
    code = (
        "import sys, pathlib\n"
        "from deploy import federation, local, targets\n"
        f"root = pathlib.Path({str(desk.root)!r})\n"
        "from deploy import bundle\n"
        "build = bundle.build\n"
        "bundle.build = lambda t, r=None: build(t, root)\n"
        "ts = targets.resolve(federation.load(profile='demo'), 'ada', root)\n"
        f"sys.exit(local.main(ts, port={free_ports(3)}))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE, text=True, cwd=federation.ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if "The Studio:" in line:
                break
        below = descendants(process.pid)
        assert len(below) >= 6, "three programs, each on its leash"
        process.send_signal(how)
        assert process.wait(20) == (-9 if how == signal.SIGKILL else 0)
        eventually(lambda: not any(alive(p) for p in below), 20)
        assert len([x for x in lines if "answers at" in x]) == 3
    finally:
        process.kill()
        process.wait()
