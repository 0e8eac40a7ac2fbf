"""A Gallery that the visitor's own browser keeps: the last 24, favourites longest; the files stay where they lie."""

from __future__ import annotations

import time
from collections.abc import Callable

from pydantic import TypeAdapter, ValidationError

from router.gallery.items import Item

LAST = 24
CHARACTERS = 2_000_000
"""More than any list of ours is, and less than a browser keeps of a page."""

_ITEMS = TypeAdapter(list[Item])


class BrowserShelf:
    """The list that one event was sent along with; `written` is what goes back."""

    def __init__(self, kept: object, mine: Callable[[str], bool] = lambda where: True) -> None:
        """`mine` says whether who shows the list may name a file that lies there."""
        self._items = [item for item in read(kept) if mine(place_of(item))]

    def items(self) -> list[Item]:
        """What the browser has kept, newest first."""
        return self._items

    def add(self, item: Item) -> None:
        """Puts it in front; the oldest that is no favourite falls out, a favourite only where all are."""
        known = next((i for i in self._items if place_of(i) == place_of(item) or i.key == item.key), None)
        item = item.model_copy(
            update={"added": item.added or time.time(), "favourite": bool(known and known.favourite)}
        )
        items = [item, *(i for i in self._items if i is not known)]
        while len(items) > LAST:
            items.remove(next((i for i in reversed(items[1:]) if not i.favourite), items[-1]))
        self._items = items

    def favourite(self, key: str, yes: bool) -> bool:
        """See `Shelf`."""
        return self._set(key, favourite=yes)

    def delete(self, key: str) -> bool:
        """See `Shelf`: it can be brought back until the page is opened anew."""
        return self._set(key, deleted=time.time())

    def undo(self, key: str) -> bool:
        """See `Shelf`."""
        return self._set(key, deleted=0.0)

    def forget(self) -> None:
        """What was deleted is gone: a page is opened anew."""
        self._items = [item for item in self._items if not item.deleted]

    def _set(self, key: str, **changed: object) -> bool:
        here = [item.key == key for item in self._items]
        self._items = [
            item.model_copy(update=changed) if mine else item
            for item, mine in zip(self._items, here, strict=True)
        ]
        return any(here)

    def written(self) -> str:
        """The list as a browser keeps it."""
        return _ITEMS.dump_json(self._items, exclude_none=True).decode()


def read(kept: object) -> list[Item]:
    """The list that a browser has kept; empty where another version, or somebody else, has written it."""
    try:
        if not isinstance(kept, str) or not kept or len(kept) > CHARACTERS:
            return []
        return _ITEMS.validate_json(kept)[:LAST]
    except ValidationError:
        return []


def place_of(item: Item) -> str:
    """Where its file lies."""
    return item.video.url or item.video.path
