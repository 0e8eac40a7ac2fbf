"""What recent results of a Studio were made from."""

from __future__ import annotations

from collections import OrderedDict

from common.contract import Lineage, MediaHandle

REMEMBERED = 500


class Lineages:
    """What recent results were made from, by their path and URL: known without opening a file.

    A page names what lies on another machine by its URL alone.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, Lineage] = OrderedDict()

    def remember(self, handle: MediaHandle, lineage: Lineage) -> None:
        """Note what a file was made from; the oldest notes are forgotten."""
        self._known |= {name: lineage for name in (handle.path, handle.url) if name}
        while len(self._known) > 2 * REMEMBERED:
            self._known.popitem(last=False)

    def of(self, handle: MediaHandle) -> Lineage | None:
        """What a file was made from; None for one that a visitor uploaded, or an old one."""
        return self._known.get(handle.path)
