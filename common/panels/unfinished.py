"""Jobs that ended before their video: asked for again, they have the same seed, and so go on from what is kept."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from common.contract import MediaHandle
from common.run.parts import Parts

REMEMBERED = 1000
RANDOM = -1


class Unfinished:
    """The seeds of one panel's unfinished jobs, by visitor and by what was asked."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], tuple[int, Parts]] = OrderedDict()

    def of(self, visitor: str | None, values: Mapping[str, Any]) -> tuple[int | None, Parts]:
        """The seed that these values had, and how far they came; None where they are new, or came to an end."""
        return self._known.get(self._key(visitor, values), (None, Parts()))

    def ended(self, visitor: str | None, values: Mapping[str, Any], seed: int, parts: Parts) -> None:
        """A job has ended: with its video (no `parts`), or with some of its segments."""
        key = self._key(visitor, values)
        self._known.pop(key, None)
        if visitor and parts.kept:
            self._known[key] = (seed, parts)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    def _key(self, visitor: str | None, values: Mapping[str, Any]) -> tuple[str, str]:
        """A seed that was drawn for these values is none of its own: whoever types it in asks for that same job."""
        at_random = (visitor or "", _asked({**values, "seed": RANDOM}))
        seed, _ = self._known.get(at_random, (RANDOM, Parts()))
        return at_random if values.get("seed", RANDOM) in (RANDOM, seed) else (visitor or "", _asked(values))


def _asked(values: Mapping[str, Any]) -> str:
    """Equal for equal requests; a file is known by its path, which holds the hash of its content."""

    def named(value: object) -> str:
        return value.path if isinstance(value, MediaHandle) else str(value)

    return json.dumps(dict(values), sort_keys=True, default=named)
