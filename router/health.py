"""How each mode is: manifests read in the background, so that the sidebar is true and heals itself."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

import httpx
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError

from common.contract import CONTRACT_VERSION, Manifest, ModeKey
from common.gate import FILE_ROUTE
from common.remote import ask_manifest
from router.federation import Federation, Place

State = Literal["ready", "starting", "asleep", "building", "down", "skewed"]

READY_SECONDS = 20.0
RETRY_SECONDS = 2.0
TIMEOUT = httpx.Timeout(5.0, connect=2.0)
MISSES = 2
"""Unanswered questions in a row that shut a place: under load a healthy one misses one now and then."""
LIFE_SECONDS = 30.0
"""How long an event of a job is proof that its place lives, whatever the questions say."""


@dataclass(frozen=True)
class Status:
    """What we know of one place: its state, what to tell a user, and its manifest once it is ready.

    `private` places alone are shown the read token: any other could keep it. `missed` says that a question went
    unanswered, which one busy moment is enough for.
    """

    place: Place
    state: State
    text: str
    manifest: Manifest | None = None
    url: str | None = None
    private: bool = False
    missed: bool = False


Probe = Callable[[Place], Status]


def ask(place: Place, token: str | None = None) -> Status:
    """Ask a place how it is. Never raises: every failure is a state with a sentence and a way out."""
    url, private = place.where, False
    if place.is_space:
        found = _space_state(place, token)
        if isinstance(found, Status):
            return found
        url, private = found
    headers = {"authorization": f"Bearer {token}"} if token and private else {}
    try:
        manifest = ask_manifest(url, headers, TIMEOUT)
    except httpx.TimeoutException:
        return Status(place, "down", "does not answer; it is asked again every few seconds", missed=True)
    except httpx.HTTPError as error:
        text = f"cannot be reached ({type(error).__name__}); it is asked again soon"
        return Status(place, "down", text, missed=True)
    except ValueError:
        return Status(place, "skewed", "answers, but not as a Wan Studio mode; deploy it again")
    if manifest.contract != CONTRACT_VERSION:
        text = f"speaks contract {manifest.contract}, this Studio {CONTRACT_VERSION}; deploy both again"
        return Status(place, "skewed", text, manifest)
    if manifest.mode != place.mode:
        return Status(place, "skewed", f"is a {manifest.mode} Space; mend WAN_FEDERATION", manifest)
    return Status(place, "ready", "", manifest, url, private)


_STAGES: dict[str, tuple[State, str]] = {
    "SLEEPING": ("asleep", "is asleep; opening its page wakes it in a minute or two"),
    "PAUSED": ("asleep", "is paused by its owner; restart it on its page"),
    "STOPPED": ("asleep", "is stopped; restart it on its page"),
    "BUILDING": ("building", "is being built; it will appear by itself"),
    "RUNNING_BUILDING": ("building", "is being rebuilt; it will appear by itself"),
    "APP_STARTING": ("starting", "is starting; it will appear by itself"),
    "BUILD_ERROR": ("down", "could not be built; see its logs"),
    "RUNTIME_ERROR": ("down", "stopped with an error; see its logs"),
    "CONFIG_ERROR": ("down", "has a configuration error; see its page"),
    "NO_APP_FILE": ("down", "has no app file; deploy it again"),
}


def _space_state(place: Place, token: str | None) -> Status | tuple[str, bool]:
    """A status for a Space that cannot answer now, or the URL of one that can and whether it is private."""
    # The client's constructor fails on a sleeping Space and loops for ever on a building one: ask first.
    api = HfApi(endpoint=constants.ENDPOINT, token=token or False)
    try:
        info = api.space_info(place.where, timeout=5)
    except HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else "?"
        return Status(
            place, "down", f"is not to be found on the Hub (HTTP {code}); is the name right, or private?"
        )
    except Exception as error:  # the Hub's transport has its own error classes, which differ by version
        text = f"cannot be asked about: the Hub did not answer ({type(error).__name__})"
        return Status(place, "down", text, missed=True)
    stage = str(info.runtime.stage) if info.runtime else "RUNNING"
    if stage in _STAGES:
        state, text = _STAGES[stage]
        return Status(place, state, text)
    if not info.host:
        return Status(place, "starting", "has no address yet; it will appear by itself")
    return info.host.rstrip("/") + "/", bool(info.private)


class Watcher:
    """Keeps a Status for every place, in a daemon thread; a place that fails is asked again soon."""

    def __init__(
        self,
        federation: Federation,
        *,
        token: str | None = None,
        probe: Probe | None = None,
        ready_seconds: float = READY_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.federation = federation
        self._probe = probe or (lambda place: ask(place, token))
        self._ready, self._retry = ready_seconds, retry_seconds
        self._status = {
            place: Status(place, "starting", "is being asked")
            for places in federation.values()
            for place in places
        }
        self._unasked = set(self._status)
        self._misses = Counter[Place]()
        self._heard: dict[Place, float] = {}
        self._due = dict.fromkeys(self._status, 0.0)
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin watching; a second call does nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="federation", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread; the last known states stay."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def wait_asked(self, seconds: float, mode: ModeKey | None = None) -> bool:
        """Waits until every place (of `mode`) has been asked once; False when that took longer than `seconds`."""
        wanted = set(self._status) if mode is None else set(self.federation.get(mode, ()))
        end = time.monotonic() + seconds
        while (waiting := bool(self._unasked & wanted)) and time.monotonic() < end:
            time.sleep(0.05)
        return not waiting

    def note(self, status: Status) -> None:
        """Take in what was learnt of a place. What it once said of itself is kept while it is away."""
        place, before = status.place, self._status[status.place]
        self._unasked.discard(place)
        self._misses[place] = self._misses[place] + 1 if status.missed else 0
        alive = time.monotonic() - self._heard.get(place, -LIFE_SECONDS) < LIFE_SECONDS
        if status.missed and before.state == "ready" and (alive or self._misses[place] < MISSES):
            status = before
        else:
            status = replace(
                status, manifest=status.manifest or before.manifest, url=status.url or before.url
            )
        self._status[place] = status
        calm = status.state == "ready" and not self._misses[place]
        self._due[place] = time.monotonic() + (self._ready if calm else self._retry)

    def heard(self, place: Place) -> None:
        """A job on a place has said something: it lives."""
        self._heard[place] = time.monotonic()

    def doubt(self, place: Place) -> None:
        """A job on a place has failed because nobody answered: that is a miss, and it is asked right away."""
        self._heard.pop(place, None)
        self._misses[place] += 1
        self._due[place] = 0.0
        self._wake.set()

    def private(self, place: Place) -> bool:
        """Whether a place is a private Space, as far as it has answered."""
        status = self._status.get(place)
        return status is not None and status.private

    def place_of(self, url: str) -> Place | None:
        """The place whose file a URL is; None for any other URL or path."""
        for place, status in self._status.items():
            base = status.url or ("" if place.is_space else place.where)
            if base and url.startswith(base.rstrip("/") + FILE_ROUTE):
                return place
        return None

    def statuses(self, mode: ModeKey) -> list[Status]:
        """How every place of a mode is, in the order of the table."""
        return [self._status[place] for place in self.federation.get(mode, ())]

    def status(self, mode: ModeKey) -> Status | None:
        """The best status of a mode: a ready place first, in the order of the table; None without one."""
        found = self.statuses(mode)
        return next((s for s in found if s.state == "ready"), found[0] if found else None)

    def ready(self, mode: ModeKey) -> list[Status]:
        """Every ready place of a mode, in the order of the table."""
        return [s for s in self.statuses(mode) if s.state == "ready"]

    def _run(self) -> None:
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe") as pool:
            while not self._stop.is_set():
                now = time.monotonic()
                due = [place for place, at in self._due.items() if at <= now]
                for status in pool.map(self._probe, due):
                    self.note(status)
                self._wake.wait(timeout=min(0.5, self._retry))
                self._wake.clear()
