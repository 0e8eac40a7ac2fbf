"""Video to video: a clip is partly turned into noise and denoised again under a new prompt."""

from __future__ import annotations

import math

from pydantic import Field

from common import contract
from common.catalog import Checkpoint, Weights
from common.contract import MediaHandle
from common.errors import InputError
from common.modes import rules
from common.modes.base import Example, MediaSlot, Mode


class Request(contract.Request):
    """A clip, a prompt and how far to go."""

    video: MediaHandle | None = Field(None, description="The clip to restyle")
    strength: float = Field(0.7, description="How much changes, above 0 to 1: 0.7 to 0.8 restyles")


class V2V(Mode[Request]):
    """Restyle a clip."""

    request_type = Request
    key = "v2v"
    title = "Video to Video"
    icon = "🎞️"
    about = "A clip keeps its shapes and motion and gets the look of the prompt."
    prompt_label = "New look"
    # WanVideoToVideoPipeline knows one transformer and an 8x VAE: no A14B, no TI2V-5B.
    checkpoints = ("wan2.1-t2v-14b", "wan2.1-t2v-1.3b", "fastwan2.1-t2v-1.3b")
    slots = (MediaSlot("video", "video", "Source video"),)
    examples = (
        Example("Watercolour", {"prompt": "A soft watercolour painting, visible brush strokes, paper grain"}),
        Example("Clay", {"prompt": "Stop-motion clay figures, fingerprints in the clay, studio light"}),
        Example("Night", {"prompt": "The same scene at night, neon signs, wet street, film grain"}),
    )
    nano_examples = (
        Example("Blue it", {"video": "red-circle.mp4", "strength": 0.8,
                            "prompt": "a blue circle moving right on a black background"}),
        Example("Square it", {"video": "red-circle.mp4", "strength": 0.9,
                              "prompt": "a red square moving right on a black background"}),
        Example("Navy", {"video": "red-circle.mp4", "strength": 0.7,
                         "prompt": "a red circle moving right on a navy background"}),
    )  # fmt: skip

    def strength(self, request: Request) -> float | None:
        return request.strength

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        return 1

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """Strength in range; a clip long enough, and what is cut from a longer one."""
        if not 0 < request.strength <= 1:
            raise InputError(
                "strength", "must be above 0 and at most 1", got=request.strength, hint="try 0.7"
            )
        return rules.clip_notices(
            "video", request.video, self.frames(request, checkpoint, weights), checkpoint
        )

    def frames(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> int:
        """As many as the clip has, at this checkpoint's frame rate, and it can make."""
        return rules.frames_of_clip(request.num_frames, request.video, checkpoint, weights)

    def denoising_steps(self, request: Request, steps: int) -> int:
        """diffusers runs int(steps * strength) of them, and crashes at none."""
        runs = min(int(steps * request.strength), steps)
        if runs < 1:
            enough = math.ceil(100 / steps) / 100
            raise InputError(
                "strength",
                "x num_inference_steps must be at least 1, or nothing changes",
                got=f"{request.strength:g} x {steps}",
                hint=f"try a strength of {enough:g} or more steps",
            )
        return runs


MODE = V2V()
