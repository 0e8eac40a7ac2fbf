"""What the tests need beside Python, found or got: a Chromium, ffmpeg and ffprobe. `make test` runs it first.

The system's own, else Playwright's download, else the system's package manager where this user may. One line says
what could not be got; the tests that need it then fail.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from playwright.sync_api import Error, sync_playwright

SHELL = "chromium-headless-shell"
"""Chromium without its windows, which draws a page a fifth cheaper; Debian's name for it."""
BROWSERS = (SHELL, "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGES = {
    "apt-get": (["install", "-y", "-qq"], {"chromium": [SHELL, "chromium"], "ffmpeg": ["ffmpeg"]}),
    "dnf": (["install", "-y", "-q"], {"chromium": ["chromium"], "ffmpeg": ["ffmpeg-free"]}),
    "brew": (["install", "--quiet"], {"chromium": ["chromium"], "ffmpeg": ["ffmpeg"]}),
}
"""By package manager: how it installs, and what it calls what we need, the best first."""
GETTING_SECONDS = 900


def chromium() -> str | None:
    """The system's Chromium; None lets Playwright take its own."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def browser_starts() -> bool:
    """Whether there is a browser, and it runs: one without its libraries does not."""
    try:
        with sync_playwright() as driver:
            driver.chromium.launch(executable_path=chromium(), args=["--no-sandbox"]).close()
    except Error:
        return False
    return True


def ffmpeg_there() -> bool:
    """Whether ffmpeg and ffprobe can be called."""
    return bool(shutil.which("ffmpeg") and shutil.which("ffprobe"))


def ran(*command: str) -> bool:
    """Runs a command without a word; whether it went well."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command, timeout=GETTING_SECONDS, env=env, stdin=subprocess.DEVNULL, capture_output=True
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def from_playwright() -> bool:
    """Playwright's own download."""
    return ran(sys.executable, "-m", "playwright", "install", "chromium")


def from_packages(what: str) -> bool:
    """The system's package manager, as root, through a sudo that asks nothing, or Homebrew's as oneself."""
    manager = next((name for name in PACKAGES if shutil.which(name)), None)
    if manager is None:
        return False
    install, names = PACKAGES[manager]
    rights = [] if manager == "brew" or os.geteuid() == 0 else ["sudo", "-n"]
    if manager == "apt-get":
        ran(*rights, manager, "update", "-qq")
    return any(ran(*rights, manager, *install, name) for name in names[what])


def got(there: Callable[[], bool], *ways: Callable[[], bool]) -> bool:
    """Whether something is there, or is after one of the ways to get it."""
    return there() or any(way() and there() for way in ways)


def main() -> None:
    """Gets what is missing; one line for what could not be got."""
    missing = []
    if not got(browser_starts, from_playwright, lambda: from_packages("chromium")):
        missing.append("Chromium (for the browser tests)")
    if not got(ffmpeg_there, lambda: from_packages("ffmpeg")):
        missing.append("ffmpeg and ffprobe")
    if missing:
        print(f"Could not get {' or '.join(missing)}: install it, or tests fail.", file=sys.stderr)


if __name__ == "__main__":
    main()
