"""What a person may do about their own Studio's models and caches: asked of the modes, by their `/admin`.

A mode lets in who knows its secret (WAN_ADMIN). The launcher draws one for the modes that it mounts; for others it is
whatever the person has set. A hosted Studio has no such buttons and no such events.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack

import httpx

from common import cache
from common.contract import ModeKey
from common.errors import InputError, StudioError, UnavailableError, quoted
from common.modes.all import MODES
from common.run import book as books
from router.asking import Status, ask
from router.dispatch import FederatedRunner, Studio
from router.visitors import OWN

OF_A_MODEL = ("download", "download_again", "cancel", "delete")
OF_ALL = ("unload", "clear_cache", "clear_loras")
TIMEOUT = httpx.Timeout(120.0, connect=5.0)
"""A hundred GB take a while to delete."""
POLL_SECONDS = 1.5


class Acting:
    """The actions of one Studio."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._polled = 0.0
        self._lock = threading.Lock()

    def may(self, status: Status | None) -> bool:
        """Whether the person may act on a place."""
        known = status.manifest if status and status.state == "ready" else None
        return bool(self.studio.personal and self.studio.admin and known and known.administered)

    def places(self, mode: str = "") -> list[Status]:
        """The places of a mode, or of all, that one may act on."""
        watcher = self.studio.watcher
        found = [s for key in MODES for s in watcher.statuses(key) if mode in ("", key)]
        return [status for status in found if self.may(status)]

    async def act(self, action: object, mode: object = "", checkpoint: object = "", shown: Iterable[str] = ()) -> int:
        """Does it where the mode is, or everywhere; bytes freed. `shown` are files that a page still needs.

        StudioError in words, also for what no page sends.
        """
        if action in OF_A_MODEL and isinstance(mode, str) and isinstance(checkpoint, str):
            places = self.places(mode)[:1] if mode else []
            asked = f"{action} {checkpoint}"
            if action == "delete":
                self._check_free(checkpoint)
        elif action in OF_ALL:
            # Modes that are mounted have one memory and one disk.
            mounts = [status for status in self.places() if status.place.mount]
            others = [status for status in self.places() if not status.place.mount]
            if action == "clear_cache" and self.studio.keep is None:
                others = []  # a browser's Gallery has nothing but what lies there
            places = [*mounts[:1], *others]
            asked = str(action)
        else:
            raise InputError("action", "must be one of this page's", got=quoted(action)[:80])
        if not places:
            raise UnavailableError("nothing of this Studio can be changed from here")
        with ExitStack() as held:
            if action == "clear_cache":
                held.enter_context(cache.holding([*shown, *self._needed()]))
            told = await asyncio.gather(*(asyncio.to_thread(self._ask, status, asked) for status in places))
        await asyncio.to_thread(self.look, places)
        return sum(told)

    def look(self, places: Iterable[Status]) -> None:
        """Asks places anew how they are; with one mount all of them, which have one disk."""
        wanted = {status.place: status for status in places}
        if any(place.mount for place in wanted):
            wanted |= {status.place: status for status in self.places() if status.place.mount}
        for place in wanted:
            self.studio.watcher.note(ask(place, self.studio.token))

    def poll(self) -> None:
        """Looks where a download runs, so that the page tells how far it is; cheap where none does."""
        coming = [status for status in self.places() if _fetching(status)]
        with self._lock:
            if not coming or time.monotonic() - self._polled < POLL_SECONDS:
                return
            self._polled = time.monotonic()
        self.look(coming)

    def _ask(self, status: Status, asked: str) -> int:
        token, title = self.studio.token_for(status.place), MODES[status.place.mode].title
        headers = {"authorization": f"Bearer {token}"} if token else {}
        body = {"data": [self.studio.admin, asked]}
        try:
            reply = httpx.post(f"{status.url}gradio_api/run/admin", json=body, headers=headers, timeout=TIMEOUT)
            answer = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise UnavailableError(f"{title} does not answer ({type(error).__name__}); try again") from None
        if reply.is_success:
            return int(answer["data"][0]["freed_bytes"])
        raise StudioError(str(answer.get("error") or "refused"), title=str(answer.get("title") or title))

    def _check_free(self, checkpoint: str) -> None:
        """UnavailableError where a job of this Studio, which its mode may not have heard of yet, needs a model."""
        for entry in self.studio.book.entries(OWN):
            if not entry.alive:
                continue
            mode = MODES[entry.mode]
            own = FederatedRunner(mode, self.studio).known().default_checkpoint
            if checkpoint == (entry.asked.get("checkpoint") or own):
                text = f"a job of {mode.title} needs this model; let it end, or cancel it in the Queue"
                raise UnavailableError(text)

    def _needed(self) -> list[str]:
        """Files of jobs that run and wait, and the results that pages show once they are opened again."""
        book, modes = self.studio.book, list[ModeKey](MODES)
        alive = [entry for entry in book.entries(OWN) if entry.alive]
        last = [entry for mode in modes if (entry := book.newest(OWN, mode)) and entry.video]
        given = [path for entry in alive for path in books.files(entry)]
        return [*given, *(entry.video.path for entry in last if entry.video)]


def _fetching(status: Status) -> bool:
    infos = status.manifest.checkpoints if status.manifest else []
    return any(i.disk and i.disk.coming and i.disk.coming.state == "running" for i in infos)
