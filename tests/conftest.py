"""What every test may use, and which tests may run side by side."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

TOGETHER = ("tests/security",)
"""Folders whose files share what is dear to start; elsewhere each file starts its own."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One after the other what shares its servers, for `--dist loadgroup`."""
    for item in items:
        file = Path(item.path).relative_to(item.config.rootpath).as_posix()
        group = next((folder for folder in TOGETHER if file.startswith(folder)), file)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture
def free_port() -> int:
    """A TCP port that nobody listened on a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
