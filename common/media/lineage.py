"""Reads where a video came from out of the file itself; anyone may, without torch."""

from __future__ import annotations

from pathlib import Path

from av.error import FFmpegError
from pydantic import ValidationError

from common.contract import Lineage
from common.media.opening import open_clip


def read_lineage(path: Path) -> Lineage | None:
    """The lineage of an mp4 of ours; None for any other file."""
    try:
        with open_clip(path) as container:
            comment = container.metadata.get("comment", "")
        return Lineage.model_validate_json(comment) if comment.startswith("{") else None
    except (FFmpegError, OSError, ValidationError, ValueError):
        return None
