"""What every test may use."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def disk_takes() -> Iterator[Callable[[int], None]]:
    """`disk_takes(n)`: from now on the system refuses the n+1st byte of any file, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)  # Python ignores the signal: writing raises EFBIG

    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
