"""Image to video: a picture is the first frame, the prompt says how it moves."""

from __future__ import annotations

from pydantic import Field

from common import contract
from common.contract import ImageFrom, MediaHandle
from common.modes.base import Example, MediaSlot, Mode


class Request(contract.Request):
    """A first frame and a motion prompt."""

    image: MediaHandle | None = Field(None, description="First frame: a picture, or a clip to take it from")
    image_from: ImageFrom = Field("first", description="Frame of a clip: first, last, or seconds")


class I2V(Mode):
    """Image to video."""

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

    @property
    def request_type(self) -> type[Request]:
        return Request


MODE = I2V()
