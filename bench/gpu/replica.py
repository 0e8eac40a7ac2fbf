"""Text to Video with random full-size weights as an app, which other processes import by its path.

BENCH_FOLDER is where the checkpoints' configs lie, or are put.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from bench import full_size
from bench.engine import T2V
from common.settings import SpaceSettings


class Replica(T2V):
    """The class that says which file this is."""


_held = ExitStack()  # to the end of the process
if os.environ.get("WAN_WEIGHTS") == "wan":
    _held.enter_context(full_size.loaded(Path(os.environ["BENCH_FOLDER"])))
service = Replica(SpaceSettings.from_env())
