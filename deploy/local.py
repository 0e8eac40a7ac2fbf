"""The federation on one machine: the very bundles of a push, each its own process, talking over HTTP."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from common import ports
from deploy import bundle, venvs
from deploy.errors import DeployError
from deploy.federation import ROOT
from deploy.supervise import Program, Say, Supervisor
from deploy.targets import FEDERATION_VARIABLE, Target, federation_table

HOST = "127.0.0.1"
ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite kill, a terminal that was closed."""
START_SECONDS = 120.0
TAIL_LINES = 150


@dataclass
class LocalFederation:
    """Bundles in `folder`, one program each; the router on `port`, modes on the ports after it.

    `addresses` replaces what the router is told (name to URL or Space id); `env` is added to every program;
    `python` is the interpreter of each name, this one where none is given.
    """

    targets: Sequence[Target]
    folder: Path
    port: int
    root: Path = ROOT
    addresses: Mapping[str, str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    python: Mapping[str, Path] = field(default_factory=dict)
    say: Say = print

    def __post_init__(self) -> None:
        self.ports = {t.name: self.port for t in self.targets if t.is_router}
        for i, target in enumerate((t for t in self.targets if not t.is_router), 1):
            self.ports[target.name] = self.port + i
        self.programs = [self._program(t) for t in self.targets]
        self.supervisor = Supervisor(self.programs, self.say)

    def url(self, name: str) -> str:
        """Where a Space answers."""
        return f"http://{HOST}:{self.ports[name]}"

    def start(self, seconds: float = START_SECONDS) -> None:
        """Start everything and return when every app answers."""
        self.supervisor.start()
        for target in self.targets:
            self.wait_for(target.name, seconds)

    def wait_for(self, name: str, seconds: float = START_SECONDS) -> None:
        """Return when this Space's app answers; DeployError with its log when it does not in time."""
        deadline, trouble = time.monotonic() + seconds, None
        while time.monotonic() < deadline:
            if (trouble := asked(self.url(name))) is None:
                self.say(f"{name} answers at {self.url(name)}")
                return
            time.sleep(0.2)
        program = next(p for p in self.programs if p.name == name)
        self.supervisor.dump(program)
        log = program.log
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
        raise DeployError(f"{name} did not answer within {seconds:.0f} s ({trouble}); the end of {log}:\n{tail}")

    def stop(self) -> None:
        """End every program."""
        self.supervisor.stop()

    def _program(self, target: Target) -> Program:
        folder = bundle.build(target, self.root).write(self.folder / "bundles" / target.name)
        temp = self.folder / "files" / target.name
        temp.mkdir(parents=True, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("WAN_", "GRADIO_", "PYTHONPATH"))}
        # A Space has its own files and no one else's: hand-over between modes goes as it would on the Hub.
        env |= {
            "GRADIO_SERVER_NAME": HOST,
            "GRADIO_SERVER_PORT": str(self.ports[target.name]),
            "GRADIO_TEMP_DIR": str(temp),
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_SSR_MODE": "False",
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",  # see Supervisor.dump
            **target.variables,
            **self.env,
        }
        for name, variable in target.secrets.items():
            if value := os.environ.get(variable):
                env[name] = value
        if target.is_router:
            modes = [t for t in self.targets if not t.is_router]
            here = {t.name: self.url(t.name) for t in modes} | dict(self.addresses or {})
            env[FEDERATION_VARIABLE] = federation_table(modes, here)
        python = self.python.get(target.name, Path(sys.executable))
        log = self.folder / "logs" / f"{target.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return Program(target.name, [str(python), "app.py"], folder, env, log)


def asked(url: str) -> str | None:
    """None where a Gradio app serves its configuration, else what there is instead."""
    try:
        reply = httpx.get(f"{url}/config", timeout=10)
    except httpx.HTTPError as error:
        return f"{type(error).__name__}: {error}"
    return None if reply.status_code == 200 else f"{reply.status_code} {reply.text[:200]}"


def demo(targets: Sequence[Target]) -> list[Target]:
    """The same Spaces on Wan-Nano, as `deploy local` runs them unless told otherwise."""
    out: list[Target] = []
    for target in targets:
        if target.is_router:
            out.append(replace(target, variables={**target.variables, "WAN_WEIGHTS": "nano"}))
            continue
        variables = {k: v for k, v in target.variables.items() if k not in ("WAN_MODELS", "WAN_GPU_SIZE")}
        out.append(
            replace(target, weights="nano", variables={**variables, "WAN_WEIGHTS": "nano"}, volumes=())
        )
    return out


def main(
    targets: Sequence[Target],
    *,
    port: int,
    own_venvs: bool = False,
    torch: str | None = None,
    keep_weights: bool = False,
) -> int:
    """Run until Ctrl-C, SIGTERM, or the terminal is closed."""
    targets = list(targets) if keep_weights else demo(targets)
    ports.check(port, len(targets))
    with tempfile.TemporaryDirectory(prefix="wan-studio-") as temp:
        folder = Path(temp)
        python = venvs.for_targets(targets, torch=torch) if own_venvs else {}
        federation = LocalFederation(targets, folder, port, python=python)
        previous = {n: signal.signal(n, _interrupt) for n in ENDS}
        try:
            federation.start()
            names = [t.name for t in targets if t.is_router] or [t.name for t in targets]
            print(
                f"The Studio: {federation.url(names[0])} (Ctrl-C ends everything; logs in {folder / 'logs'})"
            )
            threading.Event().wait()  # unlike signal.pause(), misses no signal that comes just before it
        except KeyboardInterrupt:
            print("stopping")
        finally:
            federation.stop()
            for number, handler in previous.items():
                signal.signal(number, handler)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
