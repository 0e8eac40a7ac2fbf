"""How each mode is: places asked in the background while somebody looks, so that the sidebar is true and heals."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from common.contract import Manifest, ModeKey
from common.page.gate import FILE_ROUTE
from router.asking import UPDATING, WAKING, State, Status, ask, knock
from router.federation import Federation, Place

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How long a look lasts: an open page looks every two seconds, and nobody is asked once the last is over."""
FRESH_SECONDS = 30.0
"""How old an answer may be that a job relies on."""
WAKE_SECONDS = 600.0
"""How long a Space may take to wake: one whose image was cleared away is built again."""
RETRY_SECONDS = 2.0
MISSES = 2
"""Unanswered questions in a row that shut a place: under load a healthy one misses one now and then."""
LIFE_SECONDS = 30.0
"""How long an event of a job is proof that its place lives, whatever the questions say."""

COMING_UP: frozenset[State] = frozenset({"waking", "starting", "building", "draining"})
"""The states that end by themselves."""
_BEST: list[State] = ["ready", "waking", "starting", "building", "asleep", "draining", "paused", "down", "skewed"]

_FAR: dict[State, tuple[float, float]] = {
    "ready": (30, 300), "waking": (3, 10), "starting": (5, 30), "building": (15, 60),
    "draining": (5, 30), "asleep": (20, 120), "paused": (30, 300), "down": (10, 120), "skewed": (30, 300),
}  # fmt: skip

Probe = Callable[[Place, Status | None], Status]
"""Asks a place; with what is known of it, where that may do."""
Pause = Callable[[Status, int], float]


def pause(status: Status, times: int) -> float:
    """Seconds until a place is asked again that has said the same `times` in a row.

    A place on this machine or network costs nobody anything; the Hub counts questions, and a visit keeps awake.
    """
    near = (20.0, 20.0) if status.state == "ready" else (RETRY_SECONDS, 10.0)
    first, most = _FAR[status.state] if status.place.public else near
    return min(first * 2 ** min(times - 1, 10), most)


class Watcher:
    """Keeps a Status for every place, by a daemon thread that rests while nobody looks."""

    def __init__(
        self,
        federation: Federation,
        *,
        token: str | None = None,
        probe: Probe | None = None,
        pause: Pause = pause,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.federation = federation
        self._token = token
        self._probe = probe or (lambda place, known: ask(place, token, known))
        self._pause, self._look_seconds = pause, look_seconds
        self._status = {
            place: Status(place, "starting", "is being asked")
            for places in federation.values()
            for place in places
        }
        self._unasked = set(self._status)
        self._whole = set(self._status)
        self._asking = set[Place]()
        self._misses = Counter[Place]()
        self._same = Counter[Place]()
        self._answered: dict[Place, float] = {}
        self._heard: dict[Place, float] = {}
        self._waking: dict[Place, float] = {}
        self._updating: dict[Place, float] = {}
        self._roused = set[Place]()
        self._due = dict.fromkeys(self._status, 0.0)
        self._looked = float("-inf")
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._resting = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ who looks, waits and wakes

    def start(self) -> None:
        """Be ready for the first look; a second call does nothing."""
        with self._starting:  # pages look from threads of their own
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="federation", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End the thread; the last known states stay."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=10)

    def look(self) -> None:
        """Somebody looks, now and for LOOK_SECONDS: whatever is due is asked, at once after a rest. Cheap."""
        self._looked = time.monotonic()
        self.start()
        if self._resting.is_set():
            self._wake.set()

    @property
    def resting(self) -> bool:
        """Whether nobody looks, so that nobody is asked."""
        return self._resting.is_set() and not self._asking

    def wait_asked(self, seconds: float, mode: ModeKey | None = None) -> bool:
        """Waits until every place (of `mode`) has been asked once; False when that took longer than `seconds`."""
        wanted = set(self._status) if mode is None else set(self.federation.get(mode, ()))
        end = time.monotonic() + seconds
        while (waiting := bool(self._unasked & wanted)) and time.monotonic() < end:
            self.look()
            time.sleep(0.05)
        return not waiting

    def refresh(self, mode: ModeKey) -> bool:
        """Before a job: what is ready by an old answer is asked anew, itself too; whether there is such a place.

        `wait_asked` waits for the answers.
        """
        now, stale = time.monotonic(), False
        for status in self.ready(mode):
            place = status.place
            last = max(self._answered.get(place, now), self._heard.get(place, float("-inf")))
            if now - last > FRESH_SECONDS:
                stale = True
                self._unasked.add(place)
                self._ask_now(place)
        return stale

    def wake(self, mode: ModeKey) -> None:
        """Somebody wants a mode: where it sleeps, it is woken. A paused one is its owner's alone."""
        status = self.status(mode)
        if status is not None:
            self.rouse(status.place)

    def rouse(self, place: Place) -> None:
        """Wake a sleeping place; one in any other state is left alone."""
        status = self._status[place]
        if status.state != "asleep":
            return
        self._roused.discard(place)
        self._waking[place] = time.monotonic() + WAKE_SECONDS
        self._status[place] = replace(status, state="waking", text=WAKING)
        self._same[place] = 0
        self._ask_now(place)

    def _ask_now(self, place: Place) -> None:
        self._whole.add(place)
        self._due[place] = 0.0
        self.look()
        self._wake.set()

    # ------------------------------------------------------------------ what is learnt

    def note(self, status: Status) -> None:
        """Take in what was learnt of a place. What it once said of itself is kept while it is away."""
        place, before = status.place, self._status[status.place]
        now = time.monotonic()
        status = self._updated(status, now)
        self._unasked.discard(place)
        self._misses[place] = self._misses[place] + 1 if status.missed else 0
        alive = now - self._heard.get(place, -LIFE_SECONDS) < LIFE_SECONDS
        held = status.missed and before.state == "ready" and (alive or self._misses[place] < MISSES)
        if held or (status.unknown and place in self._answered):
            kept = before
        else:
            kept = replace(
                status,
                manifest=status.manifest or before.manifest,
                url=status.url or before.url,
                private=status.private or before.private,
            )
        if not (status.missed or status.unknown):
            self._whole.discard(place)
        if not status.unknown:
            self._answered[place] = now
        if kept.state == "ready":
            self._waking.pop(place, None)
        self._same[place] = self._same[place] + 1 if kept.state == before.state else 1
        self._status[place] = kept
        doubtful = kept.state == "ready" and self._misses[place]
        self._due[place] = now + (RETRY_SECONDS if doubtful else self._pause(kept, self._same[place]))
        if status.hub_rest:
            for other in self._due:
                if other.is_space:
                    self._due[other] = max(self._due[other], now + status.hub_rest)

    def heard(self, place: Place) -> None:
        """A job on a place has said something: it lives."""
        self._heard[place] = time.monotonic()

    def doubt(self, place: Place) -> None:
        """A job on a place has failed because nobody answered: that is a miss, and it is asked right away.

        `wait_asked` waits for the answer.
        """
        self._heard.pop(place, None)
        self._misses[place] += 1
        self._unasked.add(place)
        self._ask_now(place)

    # ------------------------------------------------------------------ what is known

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
        """The best status of a mode: ready, else the nearest to it, the first of equals; None without a place."""
        return best(self.statuses(mode))

    def ready(self, mode: ModeKey) -> list[Status]:
        """Every ready place of a mode, in the order of the table."""
        return [s for s in self.statuses(mode) if s.state == "ready"]

    def offers(self, mode: ModeKey) -> list[Manifest]:
        """What the ready places of a mode say that they have; what all once said, while none is ready."""
        known = self.ready(mode) or [s for s in self.statuses(mode) if s.state != "skewed"]
        return [s.manifest for s in known if s.manifest]

    @property
    def carried(self) -> str:
        """A mark that changes when what the modes offer does: menus drawn under another one are out of date."""
        parts = {"checkpoints", "default_checkpoint", "weights", "backend", "presets"}
        disk = {"checkpoints": {"__all__": {"disk"}}}  # how far a download is changes no menu
        manifests = (m for mode in self.federation for m in self.offers(mode))
        offers = [m.model_dump_json(include=parts, exclude=disk) for m in manifests]
        return f"{hash(tuple(offers)):x}"

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        with ThreadPoolExecutor(max_workers=8, thread_name_prefix="probe") as pool:
            while not self._stop.is_set():
                now = time.monotonic()
                looked = self._looked + self._look_seconds - now
                if looked <= 0:
                    self._resting.set()
                    if self._looked + self._look_seconds <= time.monotonic():  # none came in between
                        self._wake.wait()
                    self._resting.clear()
                    self._wake.clear()
                    continue
                for place in [p for p, at in self._due.items() if at <= now and p not in self._asking]:
                    self._asking.add(place)
                    pool.submit(self._ask, place)
                waits = [at - now for p, at in self._due.items() if p not in self._asking]
                self._wake.wait(max(0.0, min([looked, *waits])))
                self._wake.clear()

    def _ask(self, place: Place) -> None:
        try:
            status = self._probe(place, None if place in self._whole else self._status[place])
            if place in self._waking:
                status = self._woken(status)
            self.note(status)
        except Exception as error:
            log.exception("%s could not be asked", place.where)
            self.note(
                Status(place, "down", f"cannot be asked ({type(error).__name__}); see the log", missed=True)
            )
        finally:
            self._asking.discard(place)
            self._wake.set()

    def _updated(self, status: Status, now: float) -> Status:
        """What a place says that was draining: gone for a while, it is being updated still."""
        if status.state == "draining":
            self._updating[status.place] = now + WAKE_SECONDS
        elif status.state == "ready" or now > self._updating.get(status.place, now):
            self._updating.pop(status.place, None)
        elif status.missed and status.place in self._updating:
            return replace(status, state="draining", text=UPDATING)
        return status

    def _woken(self, status: Status) -> Status:
        """What a place that is being woken says: asleep still, or up and not listening yet, is waking."""
        place = status.place
        if time.monotonic() > self._waking[place]:
            del self._waking[place]
            text = "did not wake up; see its page on the Hub, or try again"
            return replace(status, text=text) if status.state == "asleep" else status
        if status.state == "asleep":
            knock(status, self._token, restart=place not in self._roused)
            self._roused.add(place)
        if status.state == "asleep" or status.missed:
            return replace(status, state="waking", text=WAKING)
        return status


def best(statuses: list[Status]) -> Status | None:
    """The first of those that are nearest to being ready; None of none."""
    return min(statuses, key=lambda s: _BEST.index(s.state), default=None)
