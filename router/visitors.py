"""Whose a job, a result or a list is: on somebody's own machine all is theirs, else it is one browser's.

A browser draws itself a secret once (`window.wanVisitor` in shell.js) and shows it with what it asks. Here only its
hash is kept: who reads that cannot ask in the browser's name.
"""

from __future__ import annotations

import hashlib
import re

from common.errors import InputError, quoted

OWN = ""
"""The owner of everything where only one person comes: all of their tabs and browsers see the same."""
_SECRET = re.compile(r"[0-9a-f]{32}")


def owner_of(visitor: object, *, personal: bool) -> str | None:
    """The owner of what a browser asks for; None where it shows no secret: nothing is kept for who cannot come back.

    InputError for a secret that no page has drawn.
    """
    if personal:
        return OWN
    if visitor in (None, ""):
        return None
    if not isinstance(visitor, str) or not _SECRET.fullmatch(visitor):
        raise InputError("visitor", "must be 32 digits and letters a to f", got=quoted(visitor)[:40])
    return hashlib.sha256(visitor.encode()).hexdigest()
