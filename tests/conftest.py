"""What every test may use."""

from __future__ import annotations

import os
import socket

import pytest

os.environ.setdefault("WAN_STATE", "")  # no Studio of a test remembers anything in this user's home


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
