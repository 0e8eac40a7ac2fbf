"""First and last frame to video: two pictures, and the model finds the way from one to the other."""

from __future__ import annotations

import re

from pydantic import Field

from common import contract
from common.catalog import Checkpoint, Weights
from common.contract import ImageFrom, MediaHandle
from common.errors import InputError
from common.modes.base import Example, MediaSlot, Mode

FEWEST_FRAMES = 5
CHINESE_HINT = (
    "This checkpoint was trained on Chinese text; a Chinese prompt follows better (中文提示词效果更好)."
)


class Request(contract.Request):
    """Two pictures and what happens between them."""

    image: MediaHandle | None = Field(None, description="First frame: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip in `image`: first, last, or seconds")
    last_image: MediaHandle | None = Field(None, description="Last frame: a picture, or a clip")
    last_image_from: ImageFrom = Field("last", description="Frame of a clip in `last_image`")


class FLF2V(Mode[Request]):
    """First and last frame to video."""

    request_type = Request
    key = "flf2v"
    title = "First-Last-Frame to Video"
    icon = "⇄"
    about = "Two pictures become the first and the last frame of one clip."
    prompt_label = "Transition prompt"
    checkpoints = ("wan2.1-flf2v-14b-720p", "wan2.2-i2v-a14b")
    slots = (
        MediaSlot("image", "image", "Start frame"),
        MediaSlot("last_image", "image", "End frame"),
    )
    examples = (
        Example("Penguin", {"prompt": "A penguin spreads its wings and takes flight"}),
        Example("企鹅", {"prompt": "一只企鹅张开翅膀，腾空而起，镜头缓缓跟随"}),
        Example("Seasons", {"prompt": "The tree goes from summer green to autumn gold, one steady shot"}),
    )
    nano_examples = (
        Example("Red circle", {"image": "red-circle-start.png", "last_image": "red-circle-end.png",
                               "prompt": "a red circle moving right on a black background"}),
        Example("Blue square", {"image": "blue-square-start.png", "last_image": "blue-square-end.png",
                                "prompt": "a blue square growing on a gray background"}),
    )  # fmt: skip

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        """Both pictures in one clip, with empty frames between them."""
        return 1

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """Two frames need room between them; the Chinese hint of the checkpoint's card."""
        if request.num_frames is not None and request.num_frames < FEWEST_FRAMES:
            # diffusers makes an empty tensor of num_frames - 2 frames and fails inside the VAE.
            raise InputError(
                "num_frames",
                f"must be at least {FEWEST_FRAMES} between a first and a last frame",
                got=request.num_frames,
                hint=f"try {FEWEST_FRAMES}",
            )
        if (
            weights == "wan"
            and checkpoint.kind == "flf2v"
            and not re.search(r"[\u3400-\u9fff]", request.prompt)
        ):
            return [CHINESE_HINT]
        return []


MODE = FLF2V()
