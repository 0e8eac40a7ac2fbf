"""Image to video: a picture is the first frame, the prompt says how it moves."""

from __future__ import annotations

from pydantic import Field

from common import contract
from common.catalog import LORAS, Checkpoint, Preset, Weights
from common.contract import ImageFrom, MediaHandle
from common.errors import InputError
from common.modes.base import Example, MediaSlot, Mode

HYBRID = "hybrid-2.2-i2v"


class Request(contract.Request):
    """A first frame and a motion prompt."""

    image: MediaHandle | None = Field(None, description="First frame: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip: first, last, or seconds")
    join: bool = Field(
        False, description="One video of the whole clip in `image`, whose last frame it is, and of what follows"
    )
    hybrid: bool = Field(False, description="Fast on Wan 2.2 with the Wan 2.1 Lightning LoRA (experimental)")


class I2V(Mode[Request]):
    """Image to video."""

    request_type = Request
    key = "i2v"
    title = "Image to Video"
    icon = "🖼️"
    about = "A picture starts to move the way the prompt says."
    prompt_label = "Motion prompt"
    checkpoints = (
        "wan2.2-i2v-a14b",
        "wan2.2-ti2v-5b",
        "wan2.1-i2v-14b-480p",
        "wan2.1-i2v-14b-720p",
        "fastwan2.2-ti2v-5b",
    )
    slots = (MediaSlot("image", "image", "Source image"),)
    examples = (
        Example("Zoom", {"prompt": "Slow zoom in, leaves rustling in a light wind"}),
        Example("Turn", {"prompt": "The subject turns towards the camera and smiles"}),
        Example("Waves", {"prompt": "Waves roll in slowly while the camera stays still"}),
    )
    nano_examples = (
        Example("Red circle", {"image": "red-circle.png",
                               "prompt": "a red circle moving right on a black background"}),
        Example("Blue square", {"image": "blue-square.png",
                                "prompt": "a blue square growing on a gray background"}),
        Example("Yellow star", {"image": "yellow-star.png",
                                "prompt": "a yellow star spinning on a navy background"}),
    )  # fmt: skip

    def loras(self, request: Request, checkpoint: Checkpoint, preset: Preset) -> tuple[str, ...]:
        """The community's hybrid: Wan 2.1's LoRA on both experts of Wan 2.2."""
        return (
            (HYBRID,)
            if request.hybrid and preset.loras and HYBRID in checkpoint.other_loras
            else preset.loras
        )

    def goes_on_from(self, request: Request, num_frames: int) -> tuple[str, int] | None:
        return ("image", 1) if request.join else None

    def encodes(self, request: Request, checkpoint: Checkpoint) -> int:
        """The picture with empty frames after it; TI2V-5B reads it alone, which is nothing beside a clip."""
        return 0 if checkpoint.architecture.spatial == 16 else 1

    def check(self, request: Request, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """A clip that is joined ends with the first frame; says what the hybrid is, or that it is not there."""
        if request.join and request.image_from != "last":
            got = request.image_from
            raise InputError("image_from", "must be last where clips are joined", got=got, hint="or leave join out")
        if not request.hybrid:
            return []
        if HYBRID not in checkpoint.other_loras or request.preset != "fast":
            return ["The hybrid LoRA belongs to Fast on Wan 2.2 I2V-A14B; it has no effect here."]
        return [LORAS[HYBRID].note]


MODE = I2V()
