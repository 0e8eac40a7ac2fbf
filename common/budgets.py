"""What one visitor may ask of a machine: every limit, said once. docs/limits.md is drawn from here.

A deployer changes one with a variable of its name: `WAN_LIMIT_CLIP_SECONDS=30`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from common.errors import InputError

PREFIX = "WAN_LIMIT_"


def _limit(value: int, unit: str, about: str) -> int:
    return field(default=value, metadata={"unit": unit, "about": about})


@dataclass(frozen=True)
class Budgets:
    """The limits in effect. A medium or job beyond one is refused with the rule and the way out."""

    upload_bytes: int = _limit(500_000_000, "bytes", "one uploaded file")
    image_bytes: int = _limit(50_000_000, "bytes", "one picture's file")
    request_bytes: int = _limit(80_000_000, "bytes", "one request that is no upload")
    text_characters: int = _limit(20_000, "characters", "one text of a request, such as its prompt")
    list_items: int = _limit(256, "items", "one list of a request, such as its key frames")
    image_pixels: int = _limit(64_000_000, "pixels", "width x height of a picture")
    frame_pixels: int = _limit(4096 * 2304, "pixels", "width x height of a clip's frames")
    clip_frames: int = _limit(7_200, "frames", "frames of a clip, used or not")
    clip_seconds: int = _limit(300, "seconds", "length of a clip, used or not")
    joined_seconds: int = _limit(120, "seconds", "length of a video that begins with the clip it goes on from")
    sound_seconds: int = _limit(600, "seconds", "length of a sound, used or not")
    decode_seconds: int = _limit(60, "seconds", "decoding all media of one job")
    drawing_pixels: int = _limit(1280 * 1280, "pixels", "a frame that a mask is drawn on")
    queue_length: int = _limit(256, "jobs", "jobs that wait for one mode; the next is refused")
    visitor_jobs: int = _limit(100, "jobs", "jobs of one visitor that wait in a Studio; the next is refused")
    batch_jobs: int = _limit(24, "jobs", "clips of one batch: seeds x prompts x choices x values")
    sessions: int = _limit(5_000, "pages", "pages whose state is kept; the longest unused is forgotten")
    enhance_minute: int = _limit(6, "requests", "prompts a minute that a model rewrites for one page; then rules do")
    enhance_day: int = _limit(1_000, "requests", "prompts a day that a model rewrites for all pages; then rules do")
    cache_bytes: int = _limit(10_000_000_000, "bytes", "uploads and results kept; the least used go first")
    cache_seconds: int = _limit(86_400, "seconds", "how long an unused upload or result is kept")
    gallery_bytes: int = _limit(
        20_000_000_000, "bytes", "a Gallery that is kept on disk; the oldest go, never a favourite"
    )
    gallery_imports: int = _limit(24, "files", "files brought into a Gallery at once")
    export_frames: int = _limit(150, "frames", "frames of an exported GIF")
    free_bytes: int = _limit(100_000_000, "bytes", "free disk that a job must find before it starts")

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Budgets:
        """The defaults with what `env` (os.environ) changes; InputError for a value that is no whole number."""
        env = os.environ if env is None else env
        changed: dict[str, int] = {}
        for f in fields(cls):
            name = PREFIX + f.name.upper()
            if text := env.get(name, "").strip():
                if not text.isascii() or not text.isdigit() or int(text) < 1:
                    raise InputError(name, f"must be a whole number of {f.metadata['unit']}", got=repr(text))
                changed[f.name] = int(text)
        return cls(**changed)


BUDGETS = Budgets.from_env()
"""Read once, at import, as all settings are."""
