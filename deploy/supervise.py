"""Keeps a handful of programs running: restarts what crashes, ends all of them together, and none outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LEASH = Path(__file__).with_name("leash.py")

Say = Callable[[str], None]

FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 30.0
STEADY_SECONDS = 30.0
GRACE_SECONDS = 5.0
_POLL = 0.1


@dataclass
class Program:
    """One program: how to start it, and how it has fared. `log` takes its output."""

    name: str
    command: Sequence[str]
    folder: Path
    env: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    starts: int = 0
    backoff: float = FIRST_BACKOFF
    due: float = 0.0

    @property
    def pid(self) -> int | None:
        """The process id while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None


@dataclass
class Supervisor:
    """Starts programs with `start()`, watches them from a thread, ends them with `stop()`."""

    programs: Sequence[Program]
    say: Say = print
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Start everything and watch."""
        for program in self.programs:
            self._launch(program)
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End everything: politely, then not. Each program's own children go with it."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(GRACE_SECONDS)
        for program in self.programs:
            _signal(program, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        for program in self.programs:
            if program.process is not None:
                try:
                    program.process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    _signal(program, signal.SIGKILL)
                    program.process.wait()
                # A leader that went first may have left children in its group.
                _signal(program, signal.SIGKILL)

    def dump(self, program: Program) -> None:
        """Ends a program that hangs; its log says where each thread stood (PYTHONFAULTHANDLER)."""
        _signal(program, signal.SIGABRT)
        if program.process is not None:
            try:
                program.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                return

    def _watch(self) -> None:
        while not self._stopping.wait(_POLL):
            for program in self.programs:
                if program.process is not None and program.process.poll() is not None:
                    self._crashed(program)
                elif program.process is None and time.monotonic() >= program.due:
                    self._launch(program)

    def _crashed(self, program: Program) -> None:
        assert program.process is not None
        _signal(program, signal.SIGKILL)  # what it has left behind
        code, program.process = program.process.returncode, None
        if time.monotonic() - program.started > STEADY_SECONDS:
            program.backoff = FIRST_BACKOFF
        program.due = time.monotonic() + program.backoff
        self.say(
            f"{program.name} ended with code {code}; again in {program.backoff:.1f} s (log: {program.log})"
        )
        program.backoff = min(program.backoff * 2, LONGEST_BACKOFF)

    def _launch(self, program: Program) -> None:
        with program.log.open("ab") as log:
            program.process = subprocess.Popen(
                [sys.executable, "-I", str(LEASH), *program.command],
                cwd=program.folder,
                env=dict(program.env),
                stdin=subprocess.PIPE,  # ends with us, however we end
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone; we end them in order
            )
        program.started = time.monotonic()
        program.starts += 1


def _signal(program: Program, number: signal.Signals) -> None:
    if program.process is None:
        return
    try:
        os.killpg(program.process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
