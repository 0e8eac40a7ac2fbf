"""What every test may use."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER:
    # Videos of pretended engines are named after their seeds: two workers in Gradio's one cache would overwrite
    # and delete each other's. So each has a cache of its own, before anything asks where that is.
    os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix=f"{WORKER}-")


@pytest.fixture(scope="session", autouse=True)
def own_temp() -> Iterator[None]:
    yield
    if WORKER:
        shutil.rmtree(Path(os.environ["TMPDIR"]), ignore_errors=True)


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
