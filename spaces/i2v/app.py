"""Image to Video as a Space of its own: a picture starts to move.

Run it with `.venv/bin/python spaces/i2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import spaces  # the ZeroGPU package; it must come before torch
from common.contract import Plan
from common.media import pictures
from common.modes.i2v import MODE, Request
from common.panels.i2v import I2VPanel
from common.run.service import Ready
from common.runtime.engine import Carried
from common.runtime.joined import JoiningEngine
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from common.space import build_space


class I2VEngine(JoiningEngine[Request]):
    """From a first frame; where that is a clip's last one, both may become one video."""

    mode = MODE
    # One class for 2.1 480P and 720P (with CLIP), 2.2 A14B (two experts) and TI2V-5B (expand_timesteps).
    pipeline = "WanImageToVideoPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """The first frame at exactly the asked size: the pipeline would stretch any other."""
        assert request.image is not None  # the plan has checked
        picture = reader.frame(request.image, "image", request.image_from)
        fitted = pictures.fit(picture, plan.width, plan.height)
        if fitted.notice:
            reader.note(fitted.notice)
        return {"image": fitted.image}

    def made_from(self, ready: Ready[Request]) -> str:
        return hashlib.sha256(ready.inputs["image"].tobytes()).hexdigest()


service = I2VEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, I2VPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
