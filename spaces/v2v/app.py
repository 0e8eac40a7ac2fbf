"""Video to Video as a Space of its own: a clip gets the look of a prompt.

Run it with `.venv/bin/python spaces/v2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from PIL import Image

import spaces  # the ZeroGPU package; it must come before torch
from common.contract import Plan
from common.media import clips, pictures
from common.modes.v2v import MODE, Request
from common.panels.v2v import V2VPanel
from common.run.service import Ready
from common.runtime.engine import Carried, Engine
from common.runtime.reader import Reader
from common.settings import SpaceSettings
from common.space import build_space


class V2VEngine(Engine[Request]):
    """From a clip that is partly noise."""

    mode = MODE
    # The dense T2V checkpoints under another pipeline: one transformer and the 8x VAE.
    pipeline = "WanVideoToVideoPipeline"

    def inputs(self, request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
        """The clip at the model's own rate, size and length: the pipeline would stretch it, and take it all."""
        assert request.video is not None  # the plan has checked
        own = (request.video.width or plan.width, request.video.height or plan.height)

        def fit(frame: Image.Image) -> Image.Image:
            fitted = pictures.fit(frame, plan.width, plan.height, "video", own)
            if fitted.notice:
                reader.note(fitted.notice)
            return fitted.image

        need = (plan.width, plan.height)
        frames = reader.clip(request.video, "video", plan.fps, plan.num_frames, need=need, each=fit)
        return {
            "video": clips.exactly(frames, plan.num_frames, "video"),
            "strength": request.strength,
        }


service = V2VEngine(SpaceSettings.from_env())
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.duration, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


if TIER:
    service.on_gpu = generate
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service, V2VPanel)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
