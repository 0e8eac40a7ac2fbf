"""Text to Video as a Space of its own: a prompt becomes a clip.

Run it with `.venv/bin/python spaces/t2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import spaces  # the ZeroGPU package; it must come before torch
from common.contract import Plan
from common.modes.t2v import MODE, Request
from common.panels.t2v import T2VPanel
from common.run.service import Ready
from common.runtime.engine import Carried, Engine
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from common.space import build_space


class T2VEngine(Engine[Request]):
    """Text is all that there is."""

    mode = MODE
    # WanPipeline runs 2.1 1.3B and 14B, 2.2 A14B (two experts) and TI2V-5B (expand_timesteps) alike.
    pipeline = "WanPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """Text is all that WanPipeline takes, and the engine passes it already."""
        return {}


service = T2VEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, T2VPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
