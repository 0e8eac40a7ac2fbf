"""What a leader and its followers say to each other over a pipe, as tuples that begin with a word.

The leader: `job` (number, the app's file, `Ready`), `go` once all are ready, `step` (whether all stop) after each,
`over` (number) where it has given up, `unload`. A follower: `ready` (number), `failed` (why), and then it ends.
"""

from __future__ import annotations

import pickle
from typing import Any


def said(*words: Any) -> bytes:
    """For `Connection.send_bytes`. Not by its `send`: torch would pass tensors by open files."""
    return pickle.dumps(words)


def heard(content: bytes) -> tuple[Any, ...]:
    """What was said."""
    return pickle.loads(content)
