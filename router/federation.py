"""Where each mode runs: one table from mode to places, read from one variable.

    WAN_FEDERATION='{"t2v": ["owner/wan-t2v", "https://other.example"], "i2v": "owner/wan-i2v"}'

A place is a Space id (`owner/name`) or the URL of a running app; a mode may have several, in order of
preference. The launcher sets it to its own mounts.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlparse

from common.contract import ModeKey
from common.errors import InputError
from common.modes.all import MODES
from common.page import gate

VARIABLE = "WAN_FEDERATION"
_SPACE_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Place:
    """One running (or sleeping) copy of a mode. `where` is a Space id or a URL ending in `/`.

    `mount` says that it is served by this very machine out of the same cache folder, so that a file can be
    handed over by its path.
    """

    mode: ModeKey
    where: str
    mount: bool = False

    @property
    def is_space(self) -> bool:
        """A Space id of the Hub, not a URL."""
        return "://" not in self.where

    @property
    def public(self) -> bool:
        """Whether another machine can fetch this place's files by URL."""
        return self.is_space or on_the_internet(self.where)

    @property
    def inside(self) -> bool:
        """Whether its name is known to its network of containers alone, so that no visitor's browser finds it."""
        host = "" if self.is_space else urlparse(self.where).hostname or ""
        dotless = "." not in host and ":" not in host and host != "localhost"
        return bool(host) and (dotless or host.endswith((".svc", ".cluster.local")))


def on_the_internet(url: str) -> bool:
    """Whether a URL may be fetched by another machine: Gradio refuses loopback and private networks."""
    return gate.public(urlparse(url).hostname or "")


Federation = Mapping[ModeKey, tuple[Place, ...]]


def parse(text: str) -> Federation:
    """The table from its JSON; InputError for an unknown mode or a place that is neither URL nor Space id."""
    try:
        raw = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:  # ValueError too for a number of thousands of digits
        raise InputError(VARIABLE, f"must be JSON: {error}", hint='try {"t2v": "owner/space"}') from None
    if not isinstance(raw, dict):
        raise InputError(VARIABLE, "must map modes to places", hint='try {"t2v": "owner/space"}')
    table: dict[ModeKey, tuple[Place, ...]] = {}
    for key, places in cast(dict[str, object], raw).items():
        if key not in MODES:
            raise InputError(VARIABLE, "must name modes", got=repr(key), hint=f"try {', '.join(MODES)}")
        mode = cast(ModeKey, key)
        many = cast(list[object], places) if isinstance(places, list) else [places]
        table[mode] = tuple(dict.fromkeys(_place(mode, where) for where in many))
    return table


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise InputError(VARIABLE, "names a mode twice", hint='list its places: {"t2v": ["a/b", "c/d"]}')
    return table


def _place(mode: ModeKey, where: object) -> Place:
    if isinstance(where, str):
        if _is_url(where):
            return Place(mode, where.rstrip("/") + "/")
        if _SPACE_ID.fullmatch(where):
            return Place(mode, where)
    raise InputError(
        VARIABLE, "must hold URLs or Space ids", got=f"{mode}: {where!r}", hint="try owner/wan-" + mode
    )


def _is_url(where: str) -> bool:
    try:
        url = urlparse(where)
        url.port  # noqa: B018 - raises ValueError for one that is no number up to 65535
    except ValueError:
        return False
    plain = where.isprintable() and not url.query and not url.fragment and " " not in where
    return url.scheme in ("http", "https") and bool(url.hostname) and plain


def mounted(base_url: str, modes: Iterable[str] = MODES) -> Federation:
    """Modes mounted under one address on this machine, as the launcher serves them."""
    base = base_url.rstrip("/")
    return {key: (Place(key, f"{base}/{key}/", mount=True),) for key in MODES if key in modes}


def from_env(env: Mapping[str, str] | None = None) -> Federation:
    """The table of `WAN_FEDERATION`; empty when it is not set."""
    env = os.environ if env is None else env
    text = env.get(VARIABLE, "").strip()
    return parse(text) if text else {}
