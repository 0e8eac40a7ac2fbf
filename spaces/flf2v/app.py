"""First-Last-Frame to Video as a Space of its own: the way from one picture to another.

Run it with `python spaces/flf2v/app.py`. WAN_WEIGHTS=wan takes the real models; see common/settings.py.
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

import spaces  # noqa: E402 - the ZeroGPU package; it must come before torch
from common.contract import Plan  # noqa: E402
from common.modes.flf2v import MODE, Request  # noqa: E402
from common.runtime import media  # noqa: E402
from common.runtime.engine import Carried, Engine  # noqa: E402
from common.runtime.reader import Reader  # noqa: E402
from common.service import Ready  # noqa: E402
from common.settings import SpaceSettings  # noqa: E402
from common.space import build_space  # noqa: E402

settings = SpaceSettings.from_env()


def inputs(request: Request, plan: Plan, reader: Reader) -> dict[str, Any]:
    """Both frames at exactly the asked size, cut around their centres: the pipeline would stretch them."""
    assert request.image is not None and request.last_image is not None  # the plan has checked
    pictures = {
        "image": reader.frame(request.image, "image", request.image_from),
        "last_image": reader.frame(request.last_image, "last_image", request.last_image_from),
    }
    fitted = {name: media.fit(p, plan.width, plan.height, name) for name, p in pictures.items()}
    for picture in fitted.values():
        if picture.notice:
            reader.note(picture.notice)
    return {name: picture.image for name, picture in fitted.items()}


# One class for 2.1 FLF2V (CLIP sees both pictures) and 2.2 I2V-A14B (two experts, no CLIP).
service = Engine(MODE, "WanImageToVideoPipeline", inputs, settings)
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
