"""One result in a Gallery: the facts that are shown of it, and the name that its file gets."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Protocol

from pydantic import Field

from common.catalog import CHECKPOINTS
from common.contract import Lineage, MediaHandle, ModeKey, Model

NAME_CHARACTERS = 40
_KEY = re.compile(r"[0-9a-f]{64}")


class Item(Model):
    """One result. `added` and `deleted` are in seconds since 1970; one that is deleted can still be brought back."""

    mode: ModeKey
    video: MediaHandle
    lineage: Lineage | None = None
    added: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] = 0.0
    favourite: bool = False
    deleted: Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)] = 0.0

    @property
    def key(self) -> str:
        """What the page calls it: the hash of its content where that is known, else of where it lies."""
        known = self.video.sha256 or ""
        where = self.video.url or self.video.path
        real = _KEY.fullmatch(known) and known.strip("0")
        return known if real else hashlib.sha256(where.encode("utf-8", "replace")).hexdigest()

    @property
    def prompt(self) -> str:
        """What it was made from, not what stands in the panel by now."""
        return str(self.lineage.request.get("prompt", "")) if self.lineage else ""

    @property
    def model(self) -> str:
        """The model's name; empty where nobody knows."""
        key = self.lineage.plan.checkpoint if self.lineage else ""
        return CHECKPOINTS[key].name if key in CHECKPOINTS else key

    @property
    def name(self) -> str:
        """A file name to read: mode, prompt and seed."""
        return file_name(self.mode, self.lineage)

    @property
    def when(self) -> datetime | None:
        """When it was made, as its file says, else when it came here."""
        try:
            made = datetime.fromisoformat(self.lineage.created if self.lineage else "")
            return made.astimezone(UTC)
        except (ValueError, OverflowError):
            return datetime.fromtimestamp(self.added, UTC) if self.added else None


class Shelf(Protocol):
    """The Gallery of one owner, wherever it is kept. A key that is not here is as one that does not exist."""

    def items(self) -> list[Item]:
        """What is kept, newest first, deleted ones too as long as they can be brought back."""
        ...

    def add(self, item: Item) -> None:
        """Keep one more."""
        ...

    def favourite(self, key: str, yes: bool) -> bool:
        """Mark it as never to be cleaned up, or no longer; False where it is not here."""
        ...

    def delete(self, key: str) -> bool:
        """Out of sight, and to be brought back by `undo` for a while; False where it is not here."""
        ...

    def undo(self, key: str) -> bool:
        """Bring a deleted one back; False where it is not here."""
        ...

    def written(self) -> str | None:
        """What the browser is to keep of it; None where it keeps nothing."""
        ...


def file_name(mode: str, lineage: Lineage | None) -> str:
    """`t2v-a-red-circle-moving-right-1234.mp4`: letters and digits of any script, and hyphens."""
    prompt = str(lineage.request.get("prompt", "")) if lineage else ""
    plain = unicodedata.normalize("NFKC", prompt[: 8 * NAME_CHARACTERS]).lower()
    words = "".join(c if c.isalnum() else " " for c in plain).split()
    text = ""
    for word in words:
        if len(text) + len(word) > NAME_CHARACTERS:
            break
        text += f"-{word}"
    if words and not text:  # one that is written without spaces
        text = "-" + words[0][:NAME_CHARACTERS]
    return f"{mode}{text}{f'-{lineage.seed}' if lineage else ''}.mp4"


def found(items: list[Item], key: object) -> Item | None:
    """The item of that key, unless it is deleted."""
    return next((item for item in items if item.key == key and not item.deleted), None)
