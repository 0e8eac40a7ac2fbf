"""First-Last-Frame to Video as a Space of its own: the way from one picture to another.

Run it with `.venv/bin/python spaces/flf2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import spaces  # the ZeroGPU package; it must come before torch
from common.contract import Plan
from common.media import pictures
from common.modes.flf2v import MODE, Request
from common.panels.flf2v import FLF2VPanel
from common.run.service import Ready
from common.runtime.engine import Carried, Engine
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from common.space import build_space


class FLF2VEngine(Engine[Request]):
    """Between two frames."""

    mode = MODE
    # One class for 2.1 FLF2V (CLIP sees both pictures) and 2.2 I2V-A14B (two experts, no CLIP).
    pipeline = "WanImageToVideoPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """Both frames at exactly the asked size, cut around their centres: the pipeline would stretch them."""
        assert request.image is not None and request.last_image is not None  # the plan has checked
        frames = {
            "image": reader.frame(request.image, "image", request.image_from),
            "last_image": reader.frame(request.last_image, "last_image", request.last_image_from),
        }
        fitted = {name: pictures.fit(frame, plan.width, plan.height, name) for name, frame in frames.items()}
        for picture in fitted.values():
            if picture.notice:
                reader.note(picture.notice)
        return {name: picture.image for name, picture in fitted.items()}


service = FLF2VEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, FLF2VPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
