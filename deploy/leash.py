"""Runs one program that must not outlive whoever started it: `python -I leash.py COMMAND…`, with a pipe as stdin.

The pipe is never written to. It ends when its other side is gone, by kill -9 too, on Linux as on macOS; then this
process ends its whole group. It leads that group, so it is to be started in a session of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 5.0


def main(command: list[str]) -> int:
    """The program's exit code; 128 and more where a signal ended it."""
    # Signals for the group are the program's to answer; this process goes when the program has gone.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_usual_signals)
    threading.Thread(target=_until_let_go, args=(program,), daemon=True).start()
    code = program.wait()
    return code if code >= 0 else 128 - code


def _usual_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def _until_let_go(program: subprocess.Popen[bytes]) -> None:
    while os.read(0, 1024):
        pass
    os.killpg(0, signal.SIGTERM)
    end = time.monotonic() + GRACE_SECONDS
    while program.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
