"""A stranger's script: a private federation pushed, proven, changed, taken back, broken, healed and deleted.

The commands are those of docs/deploy.md, typed into a program that runs in a copy of this checkout. The Hub is the
stand-in; each Space answers what its head commit and variables say, and only who shows the right token.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from common.contract import CONTRACT_VERSION
from deploy.federation import ROOT
from tests.hub_stand_in import Hub as StandIn
from tests.hub_stand_in.repos import Repo
from tests.hub_stand_in.server import Account

FEDERATION = """
visibility = "private"
weights = "nano"
hardware = "cpu-basic"

[[spaces]]
mode = "t2v"

[[spaces]]
mode = "i2v"

[router]
visibility = "private"
secrets = {WAN_READ_TOKEN = "MY_READ_TOKEN"}
"""

PROGRAM = """
import json, os, sys
import deploy.wait
from deploy.cli import main
deploy.wait.POLL_SECONDS = 0.02
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for line in sys.stdin:
    environment, words = json.loads(line)
    os.environ.update(environment)
    code = main(words)
    sys.stdout.flush()
    print(code, file=answers, flush=True)
"""
"""`python -m deploy` for one command after another, each looking at a Space without its 5 s between."""

ROUTER, T2V, I2V = "ada/wan-studio", "ada/wan-studio-t2v", "ada/wan-studio-i2v"


@dataclass
class Stranger:
    """Somebody at a terminal: a copy of the checkout, a token, and what the Hub and the Spaces have seen."""

    hub: StandIn
    home: Path
    env: dict[str, str] = field(default_factory=dict)
    shown: set[tuple[str, str]] = field(default_factory=set)

    @cached_property
    def terminal(self) -> subprocess.Popen[str]:
        """The program; it prints to `said` and answers with exit codes."""
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM], cwd=self.home, env=self.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.said.open("w"),
        )  # fmt: skip

    @property
    def said(self) -> Path:
        return self.home.with_name("said.txt")

    def deploy(self, *words: str, code: int = 0) -> str:
        """`wan-studio deploy …`; everything that it printed. The exit code must be `code`."""
        assert self.terminal.stdin and self.terminal.stdout
        before = len(self.said.read_text())
        print(json.dumps([self.env, words]), file=self.terminal.stdin, flush=True)
        answer = self.terminal.stdout.readline().strip()
        text = self.said.read_text()[before:]
        assert answer == str(code), f"$ deploy {' '.join(words)}\n{text}"
        assert "Traceback" not in text and "hf_" not in text, text
        return text

    def commit(self, path: str, more: str) -> None:
        """Add a line to a file of the checkout and commit."""
        file = self.home / path
        file.write_text(file.read_text() + more)
        self.git("commit", "-qam", f"change {path}")

    def git(self, *words: str) -> None:
        git = ["git", "-c", "user.name=s", "-c", "user.email=s@example.org", *words]
        subprocess.run(git, cwd=self.home, check=True, capture_output=True)

    def heads(self) -> dict[str, str]:
        """The head commit of every Space."""
        return {name: repo.head.id for name, repo in self.hub.repos.items()}

    def changed(self, before: dict[str, str]) -> set[str]:
        """The Spaces that have another head now."""
        return {name for name, head in self.heads().items() if before.get(name) != head}


def app_of(stranger: Stranger) -> type[BaseHTTPRequestHandler]:
    """All Spaces behind one port, the first folder of the path being the Space's name."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            name, _, rest = self.path.strip("/").partition("/")
            repo = stranger.hub.repos[f"ada/{name}"]
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            stranger.shown.add((repo.visibility, token))
            if repo.visibility == "private" and token not in stranger.hub.accounts:
                self.answer(404, {})
            elif rest.endswith("manifest"):
                self.answer(200, {"data": [self.manifest(repo)]})
            elif rest.endswith("plan"):
                self.answer(200, {"data": [{"num_frames": 17, "checkpoint": "k"}]})
            else:
                self.answer(200, {})

        do_GET = do_POST

        def manifest(self, repo: Repo) -> dict[str, object]:
            bundle = json.loads(repo.head.tree["bundle.json"])
            row = {"key": "k", "name": "K", "generation": "2.1", "presets": [], "moe": False, "fps": 16}
            return {
                "contract": CONTRACT_VERSION, "git_sha": bundle["git_sha"], "mode": bundle["mode"],
                "checkpoints": [row], "default_checkpoint": "k", "weights": repo.variables["WAN_WEIGHTS"],
                "backend": {}, "presets": [], "fields": {}, "loaded": [], "cache_bytes": 0, "versions": {},
            }  # fmt: skip

        def answer(self, status: int, body: object) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

    return Handler


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Stranger]:
    home = tmp_path / "wan-studio"
    for name in ("common", "deploy", "nano", "router", "spaces"):
        shutil.copytree(ROOT / name, home / name, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    weights = home / "nano" / "weights" / "dense" / "model.safetensors"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"tiny")  # 29 MB twice over would only take time
    shutil.copy(ROOT / "constraints.txt", home)
    (home / "federation.toml").write_text(FEDERATION)
    with StandIn().serve() as hub:
        hub.accounts = {"hf_write_token": Account("ada"), "hf_read_token": Account("ada", role="read")}
        who = Stranger(hub, home)
        server = ThreadingHTTPServer(("127.0.0.1", 0), app_of(who))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        hub.hosts = {
            r: f"http://127.0.0.1:{server.server_port}/{r[4:]}" for r in (ROUTER, T2V, I2V, f"{ROUTER}-v2v")
        }
        who.env = {
            **os.environ,
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": "hf_write_token",
            "HF_HUB_DISABLE_XET": "1",
            "MY_READ_TOKEN": "hf_read_token",
            "PYTHONPATH": str(home),
        }
        who.git("init", "-q")
        who.git("add", "-A")
        who.git("commit", "-qm", "start")
        yield who
        who.terminal.communicate()
        server.shutdown()
        server.server_close()


def test_a_strangers_day_with_a_federation(stranger: Stranger) -> None:
    hub, file = stranger.hub, ("--file", "federation.toml")

    # Look, then push. Everything is private, so that every proof has to show the token.
    assert "problem" not in stranger.deploy("doctor", *file)
    assert stranger.deploy("plan", *file).count("create ") == 3 and hub.writes() == []
    stranger.deploy("push", *file, "--yes")
    assert {r.visibility for r in hub.repos.values()} == {"private"}
    assert hub.repos[ROUTER].secrets == {"WAN_READ_TOKEN": "hf_read_token"}
    assert stranger.shown == {("private", "hf_write_token")}
    first = {t for r in hub.repos.values() for t in r.tags}
    assert len(hub.repos) == 3 and len(first) == 1
    assert stranger.deploy("verify", *file).count("ok ") == 3

    # Again: nothing. One Space changed: that one alone.
    before = len(hub.writes())
    assert stranger.deploy("push", *file, "--yes").count("nothing to do") == 3
    assert len(hub.writes()) == before
    heads = stranger.heads()
    stranger.commit("spaces/t2v/app.py", "\n# the prompt is taken more seriously\n")
    stranger.deploy("push", *file, "--yes")
    assert stranger.changed(heads) == {T2V}

    # Back as one: the last deployment touched T2V, so T2V goes back, and nothing else.
    changed = stranger.heads()
    said = stranger.deploy("rollback", *file, "--yes")
    assert stranger.changed(changed) == {T2V}
    assert f"back     {T2V} to {next(iter(first))}" in said and f"stays    {I2V}" in said
    assert hub.repos[T2V].head.tree == hub.repos[T2V].find(heads[T2V]).tree  # type: ignore[union-attr]
    assert stranger.deploy("verify", *file).count("ok ") == 3
    stranger.deploy("push", *file, "--yes")  # forth again
    assert b"more seriously" in hub.repos[T2V].head.tree["app.py"]

    # A Space breaks: status shows it, push heals it, restart does too.
    broken = hub.repos[I2V]
    broken.stages = [("RUNTIME_ERROR", broken.head.id)]
    assert "RUNTIME_ERROR" in stranger.deploy("status", *file)
    stranger.deploy("verify", *file, code=1)
    assert f"heal     {I2V}" in stranger.deploy("push", *file, "--yes")
    broken.stages = [("BUILD_ERROR", broken.head.id)]
    stranger.deploy("restart", *file, "--only", "i2v")
    assert broken.writes[-2:] == ["restart", "factory"]
    assert stranger.deploy("verify", *file).count("ok ") == 3

    # The read token is rotated: it is sent again, once.
    stranger.env["MY_READ_TOKEN"] = "hf_newer_token"
    assert "secret WAN_READ_TOKEN from $MY_READ_TOKEN (again" in stranger.deploy("push", *file, "--yes")
    assert hub.repos[ROUTER].secrets == {"WAN_READ_TOKEN": "hf_newer_token"}
    assert stranger.deploy("push", *file, "--yes").count("nothing to do") == 3

    # One more mode, under the name of a Space that somebody else has made: refused by name, the rest goes on.
    theirs = Repo(f"{ROUTER}-v2v", variables={"THEIRS": "1"}, host=hub.hosts[f"{ROUTER}-v2v"])
    theirs.commit({"app.py": b"print('theirs')\n", "bundle.json": b"{}"}, "theirs")
    hub.repos[theirs.id] = theirs
    stranger.commit("federation.toml", '\n[[spaces]]\nmode = "v2v"\n')
    said = stranger.deploy("push", *file, "--yes", code=1)
    assert f"refuse   {theirs.id}: no push of ours has made it" in said and "--adopt v2v" in said
    assert "v2v" in hub.repos[ROUTER].variables["WAN_FEDERATION"]
    assert theirs.writes == [] and len(theirs.commits) == 1

    # Away with it, and theirs stays. Then it is theirs no more, because somebody says so.
    assert f"kept     {theirs.id}" in stranger.deploy("destroy", *file, "--yes")
    assert set(hub.repos) == {theirs.id} and theirs.writes == []
    stranger.deploy("push", *file, "--yes", "--adopt", "v2v")
    assert len(hub.repos) == 4 and "bundle.json" in theirs.head.tree and theirs.writes[-1] == "tag"
