"""Whose a file is, as far as this Studio has seen it made, brought or shown: nobody else may name it to an event.

What nobody is known to own (it came without a secret, or before a restart) is had by its name: nobody guesses one.
"""

from __future__ import annotations

import os
import posixpath
import threading
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from common.contract import MediaHandle
from common.errors import InputError
from common.page.gate import FILE_ROUTE, Gate, Ours, asking

REMEMBERED = 50_000
"""Files; of the longest unnamed it is forgotten whose they are."""
PARTS = 3
"""Of a path on another machine; one of them is random, or a hash."""

_Owner = str | None


class Owners:
    """The owners of each file, by its path or URL; None among them says that one has come without a secret."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, frozenset[_Owner]] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, paths: Iterable[str], owner: _Owner) -> None:
        """These files are this owner's too: of one content there may be several, and its name is the same."""
        with self._lock:
            for key in filter(None, map(_key, paths)):
                self._known[key] = self._known.get(key, frozenset()) | {owner}
                self._known.move_to_end(key)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def note_handle(self, handle: MediaHandle, owner: _Owner) -> None:
        """The same of a result, by every name that it has."""
        self.note(filter(None, (handle.path, handle.url)), owner)

    def allow(self, path: str, owner: _Owner) -> bool:
        """Whether who asks may name this file: nobody's, or theirs."""
        if (key := _key(path)) is None:
            return False
        with self._lock:
            owners = self._known.get(key)
            return owners is None or None in owners or owner in owners


class StudioGate(Gate):
    """The gate of the Studio's page, where each visitor has their own files, and nothing is fetched from elsewhere.

    `owner_of` makes an owner of the secret that a page shows.
    """

    fetches = False

    def __init__(self, ours: Ours, owners: Owners, owner_of: Callable[[object], str | None]) -> None:
        super().__init__(ours)
        self._owners, self._owner_of = owners, owner_of

    def may(self, path: str) -> bool:
        return self._owners.allow(path, self._owner_of(asking.get()))

    def brought(self, path: str) -> None:
        try:
            owner = self._owner_of(asking.get())
        except InputError:  # no secret of ours: it is as none
            owner = None
        self._owners.note([path], owner)


def _key(path: str) -> str | None:
    """One name for a file, however it is spelled: by a link or a detour, percent-encoded, in capitals.

    None for what names no file.
    """
    try:
        if path.startswith(("http://", "https://")):
            url = urlsplit(path)
            base, route, name = url.path.partition(FILE_ROUTE)
            # Its end alone: a Mac has /tmp under /private too, and any folder may have a second name there.
            end = PurePosixPath(posixpath.normpath("/" + unquote(name))).parts[-PARTS:]
            path = f"{url.netloc}{base}{route}{'/'.join(end)}"
        else:
            path = os.path.realpath(path)
    except ValueError:
        return None
    return unicodedata.normalize("NFKC", path).casefold()
