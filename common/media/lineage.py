"""Reads where a video came from out of the file itself, and what came before it; anyone may, without torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from av.error import FFmpegError
from pydantic import ValidationError

from common.contract import Lineage, MediaHandle, Parent
from common.media import files
from common.media.opening import open_clip

COMMENT_CHARACTERS: Final = 1_000_000
"""A comment that is longer is nobody's lineage, and is not parsed."""
MOST_ANCESTORS: Final = 15
"""Lineages inside an output's own: with it, as many as a recipe may have steps."""
ANCESTOR_CHARACTERS: Final = 60_000
"""Of all of them together: they travel in events, to GPU workers, and lie in a browser's gallery."""
MOST_PARENTS: Final = 32
"""Files that one output may be made from: more than any mode takes."""
MIME: Final = re.compile(r"(image|video|audio)/[\w.+-]{1,80}")


def read_lineage(path: Path) -> Lineage | None:
    """The lineage of an mp4 of ours, with no more of its ancestors than fit; None for any other file."""
    try:
        with open_clip(path) as container:
            comment = container.metadata.get("comment", "")
        if not comment.startswith("{") or len(comment) > COMMENT_CHARACTERS:
            return None
        # Its parser refuses what nests 200 deep by itself.
        lineage = Lineage.model_validate_json(comment)
    except (FFmpegError, OSError, ValidationError, ValueError):
        return None
    return lineage.model_copy(update={"parents": bounded(lineage.parents)})


def parent(handle: MediaHandle, role: str) -> Parent:
    """A measured handle's file as what it will be of an output: read now, for nobody promises that it stays."""
    before = read_lineage(files.local_file(handle, role))
    return Parent(
        sha256=handle.sha256 or "",
        mode=before.plan.mode if before else None,
        role=role,
        mime=handle.media_type if MIME.fullmatch(handle.media_type) else "",
        lineage=before,
    )


def bounded(parents: Sequence[Parent]) -> list[Parent]:
    """The parents with as much of their lineages as there is room for, the nearest first; each file's once.

    What a file of a stranger holds beyond that is dropped, the oldest first.
    """
    kept: dict[int, Lineage] = {}  # by the parent whose lineage it is
    seen: set[str] = set()
    room, here = ANCESTOR_CHARACTERS, list(parents[:MOST_PARENTS])
    while here:
        further: list[Parent] = []
        for each in here:
            if each.lineage is None or each.sha256 in seen or len(kept) == MOST_ANCESTORS:
                continue
            slim = _slim(each.lineage)
            if (size := len(slim.model_dump_json())) > room:
                continue
            room -= size
            seen.add(each.sha256)
            kept[id(each)] = slim
            further += each.lineage.parents[:MOST_PARENTS]
        here = further

    def again(each: Parent) -> Parent:
        slim = kept.pop(id(each), None)  # once, should one object stand in two places
        if slim is not None and each.lineage is not None:
            slim = slim.model_copy(update={"parents": [again(p) for p in each.lineage.parents[:MOST_PARENTS]]})
        return each.model_copy(update={"lineage": slim})

    return [again(each) for each in parents[:MOST_PARENTS]]


def _slim(lineage: Lineage) -> Lineage:
    """What a replay needs of it, its parents by name alone."""
    plan = lineage.plan.model_copy(update={"placement": None, "notices": [], "segments": []})
    request = {name: value for name, value in lineage.request.items() if _plain(value)}
    named = [each.model_copy(update={"lineage": None}) for each in lineage.parents[:MOST_PARENTS]]
    return lineage.model_copy(update={"plan": plan, "request": request, "parents": named})


def _plain(value: Any) -> bool:
    """Whether it is a setting: text, a number, or a list of those. Whatever else stands there is not ours."""
    return not isinstance(value, dict) and not (
        isinstance(value, list) and any(isinstance(item, list | dict) for item in value)
    )
