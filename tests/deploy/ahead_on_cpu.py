"""`python ahead_on_cpu.py bake|take FOLDER`: Wan-Nano stands for a mounted repack, and its blocks are compiled.

`bake` writes their package into the folder; `take` makes a clip, and prints its notices and what torch found.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import launch

KEY = "wan2.1-t2v-1.3b"
CLIP = {"prompt": "a red circle", "checkpoint": KEY, "preset": "quality", "seed": 1, "width": 128, "height": 128,
        "num_frames": 5, "num_inference_steps": 2, "guidance_scale": 1.0}  # fmt: skip


def compiling(place: Callable[..., Any]) -> Callable[..., Any]:
    def placed(row: Any, _: Any, *more: Any) -> Any:
        found = place(row, "nano", *more)  # what the real one takes does not fit everywhere
        return found and found.model_copy(update={"compile": "blocks"})

    return placed


def main(what: str, root: Path) -> None:
    os.environ |= {"WAN_MODELS": str(root), "WAN_WEIGHTS": "wan", "WAN_DEVICE": "cpu"}
    launch.prepare_environment("wan")
    from torch._dynamo.utils import counters

    from common import placement
    from common.modes.t2v import MODE
    from deploy import ahead, bake
    from tests.common.runtime.model.tiny_rows import shrink

    with pytest.MonkeyPatch.context() as patch:
        shrink(patch)
        patch.setattr(placement, "place", compiling(placement.place))
        if what == "bake":
            patch.setattr(ahead, "jobs", lambda *_: [CLIP])
            patch.setattr(bake, "send", lambda hub, target, path, file, form: _put(root / KEY / path, file))
            print(json.dumps(ahead.compiled(SimpleNamespace(say=print), KEY, "ada/it", "bf16")))  # type: ignore
            return
        service, request = launch.load_space("t2v").service, MODE.parse(CLIP)
        seen = [event for _, event in service.generate(request, service.plan(request))]
        notices = [e.text for e in seen if e is not None and e.type == "notice"]
        print(json.dumps({"notices": notices, "last": seen[-1].type, **counters["aot_autograd"]}))


def _put(target: Path, file: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(file.read_bytes())


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
