"""What a file to replay says of itself: a video of ours, or a recipe."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from pathlib import Path

from common.errors import InputError
from common.media import files
from common.media.lineage import read_lineage
from common.recipe import MOST_BYTES, Recipe, read
from common.retrace import recipe_of


@dataclass(frozen=True)
class Opened:
    """A file to replay: a `video` of ours, or a recipe."""

    path: Path
    recipe: Recipe
    video: bool


def opened(file: str, name: str | None = None) -> Opened:
    """What a file says of itself; InputError for one that is neither a video of ours nor a recipe."""
    path = Path(file)
    try:
        if not path.is_file():
            raise InputError("FILE", "must be a video of Wan Studio or a recipe", got=repr(file))
        with path.open("rb") as source:
            start = source.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no name of a file"
        raise InputError("FILE", f"cannot be read: {why.lower()}", got=repr(file)) from None
    start = start.removeprefix(codecs.BOM_UTF8)
    if start.lstrip()[:1] in (b"{", b"["):
        recipe = read(start)
        return Opened(path, _called(recipe, name), video=False)
    if (lineage := read_lineage(path)) is None:
        rule = "is neither a recipe nor a video that says how Wan Studio made it"
        raise InputError("FILE", rule, got=repr(file), hint="give the mp4 as it was saved")
    return Opened(path, _called(recipe_of(lineage, sha256=files.sha256(path)), name), video=True)


def _called(recipe: Recipe, name: str | None) -> Recipe:
    if name is None:
        return recipe
    return read(recipe.model_copy(update={"name": name}).written().encode("utf-8", "replace"))
