"""Who lends this process' engines their device, as WAN_ENGINE says: one pool, or server, for all modes."""

from __future__ import annotations

import threading
from functools import cache

from common.runtime.lending.lender import Lender
from common.settings import SpaceSettings

_lock = threading.Lock()


def lender_of(settings: SpaceSettings) -> Lender | None:
    """None where this process has the device itself. InputError or UnavailableError where there is no such engine."""
    if not settings.engine:
        return None
    with _lock:
        return _lender(settings)


@cache
def _lender(settings: SpaceSettings) -> Lender:
    if settings.engine.startswith("http"):
        from common.runtime.lending import videos

        return videos.Videos(settings)
    from common.runtime.lending import rays  # where nobody asks for Ray, nothing of it is read

    return rays.pool(settings)
