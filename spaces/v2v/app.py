"""Video to Video as a Space of its own: a clip gets the look of a prompt.

Run it with `python spaces/v2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# `common` is beside this file in a pushed Space, two folders up in a checkout.
ROOT = next(p for p in Path(__file__).resolve().parents if (p / "common").is_dir())
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from PIL import Image  # noqa: E402

import spaces  # noqa: E402 - the ZeroGPU package; it must come before torch
from common.contract import Plan  # noqa: E402
from common.modes.v2v import MODE, Request  # noqa: E402
from common.runtime import clips, media  # noqa: E402
from common.runtime.engine import Carried, Engine  # noqa: E402
from common.runtime.reader import Reader  # noqa: E402
from common.service import Ready  # noqa: E402
from common.settings import SpaceSettings  # noqa: E402
from common.space import build_space  # noqa: E402

settings = SpaceSettings.from_env()


def inputs(request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
    """The clip at the model's own rate, size and length: the pipeline would stretch it, and take it all."""
    assert request.video is not None  # the plan has checked
    own = (request.video.width or plan.width, request.video.height or plan.height)

    def fit(frame: Image.Image) -> Image.Image:
        fitted = media.fit(frame, plan.width, plan.height, "video", own)
        if fitted.notice:
            reader.note(fitted.notice)
        return fitted.image

    need = (plan.width, plan.height)
    frames = reader.clip(request.video, "video", plan.fps, plan.num_frames, need=need, each=fit)
    return {
        "video": clips.exactly(frames, plan.num_frames, "video"),
        "strength": request.strength,
    }


# The dense T2V checkpoints under another pipeline: one transformer and the 8x VAE.
service = Engine(MODE, "WanVideoToVideoPipeline", inputs, settings)
TIER = service.backend.gpu_size  # a literal by the time the decorator reads it; None off ZeroGPU


@spaces.GPU(duration=service.gpu_seconds, size=TIER)
def generate(ready: Ready) -> Iterator[Carried]:
    """The one function that gets a GPU. A real generator, so that Stop reaches the step callback."""
    yield from service.run(ready)


service.on_gpu = generate
if TIER:
    service.park()  # at import: ZeroGPU packs what is on cuda now and hands it to every worker

demo = build_space(service)

if __name__ == "__main__":
    service.warm()  # diffusers takes seconds to import; the first video need not wait for it
    demo.launch()
