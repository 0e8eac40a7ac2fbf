"""Gives a performer the bones of a character."""

from __future__ import annotations

from collections.abc import Sequence

from common.annotate.keypoints import Person


def retargeted(bodies: Sequence[Person | None], first: Person, reference: Person) -> list[Person | None]:
    """The bodies, each bone as much longer as the character's is than the performer's in the first frame."""
    raise NotImplementedError
