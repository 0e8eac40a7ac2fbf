"""Text to Video with random full-size weights as an app, which other processes import by its path.

BENCH_FOLDER is where the checkpoints' configs lie, or are put. With BENCH_GUIDED so much of a Quality clip has
guidance, and no step is reused.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

from bench import full_size
from bench.engine import T2V
from common.catalog import CHECKPOINTS, Preset
from common.contract import PresetName
from common.settings import SpaceSettings
from common.shortcuts import Shortcuts

if guided := os.environ.get("BENCH_GUIDED"):
    for row in CHECKPOINTS.values():
        presets = cast(dict[PresetName, Preset], row.presets)
        if "quality" in presets:
            presets["quality"] = replace(presets["quality"], shortcuts=Shortcuts(None, guided=float(guided)))


class Replica(T2V):
    """The class that says which file this is."""


_held = ExitStack()  # to the end of the process
if os.environ.get("WAN_WEIGHTS") == "wan":
    _held.enter_context(full_size.loaded(Path(os.environ["BENCH_FOLDER"])))
service = Replica(SpaceSettings.from_env())
