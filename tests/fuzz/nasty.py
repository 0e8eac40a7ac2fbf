"""What a careless program or a hostile one may send in place of a value; seeded, so that a case can be repeated."""

from __future__ import annotations

import random
from typing import Any

WORDS = [
    "", " ", "a red circle", "\0", "a\0b", "\ud800", "💥" * 50, "x" * 25_000, "../../etc/passwd", "<script>", "%s%n",
    "{}", "null", "NaN", "-1", "1e999", "9" * 400, "first", "fast", "FAST", "wan9", "wan2.1-t2v-1.3b", "\u202e",
    "\x1b[31m", "'; DROP TABLE", "0.1,0.2", "mask", "bbox",
]  # fmt: skip
NUMBERS: list[Any] = [
    0, 1, -1, 2, 3.5, 5, 17, 81, 128, 192, 10**9, 2**31, 2**63, 2**64, -(2**70), 1e308, -0.0, 1e-300,
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, [], {}, [[]], [None], [1, 2, 3, 4], [0.1, 0.2, 0.6, 0.6], ["a", 1, None], {"a": 1},
    {"__type__": "update", "value": 1}, {"path": None},
]  # fmt: skip


def handles(real: list[str]) -> list[Any]:
    """Files: ours, somebody else's, none."""
    meta = {"meta": {"_type": "gradio.FileData"}}
    paths: list[Any] = [*real, "/etc/passwd", "", "\0", "x" * 9000, "http://127.0.0.1:9/x.png", "file:///etc/passwd",
                        "data:image/png;base64,AAAA", "data:,", "http://[", 7, None, {}, "\ud800"]  # fmt: skip
    return [*[{"path": p, **meta} for p in paths], *[{"path": p} for p in paths], *paths[:4],
            {"path": real[0], "frames": 10**18, "fps": 0, **meta}, {"url": "http://10.0.0.1/", **meta}]  # fmt: skip


def value(rng: random.Random, real: list[str]) -> Any:
    """Anything."""
    return rng.choice([rng.choice(WORDS), rng.choice(NUMBERS), rng.choice(ODD), rng.choice(handles(real))])
