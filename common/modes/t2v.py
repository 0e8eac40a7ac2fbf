"""Text to video: a prompt becomes a clip, or a still when one frame is asked for."""

from __future__ import annotations

from common import contract
from common.modes.base import Example, Mode


class Request(contract.Request):
    """A prompt and nothing else."""


class T2V(Mode[Request]):
    """Text to video."""

    request_type = Request
    key = "t2v"
    title = "Text to Video"
    icon = "🎬"
    about = "A prompt becomes a clip; one frame gives a still."
    checkpoints = (
        "wan2.2-t2v-a14b",
        "wan2.2-ti2v-5b",
        "wan2.1-t2v-14b",
        "wan2.1-t2v-1.3b",
        "fastwan2.2-ti2v-5b",
        "fastwan2.1-t2v-1.3b",
    )
    examples = (
        Example("Fox", {"prompt": "A cinematic shot of a fox running through fresh snow at golden hour, "
                                  "shallow depth of field, slow tracking camera"}),
        Example("Cats boxing", {"prompt": "Two anthropomorphic cats in bright boxing gear fight intensely "
                                          "on a spotlighted stage"}),
        Example("Harbour", {"prompt": "Time-lapse of clouds rolling over a small fishing harbour at dawn, "
                                      "boats rocking gently, soft pastel light"}),
        Example("Tea", {"prompt": "Macro shot of hot tea poured into a glass cup, steam curling upwards, "
                                  "dark background"}),
    )  # fmt: skip
    nano_examples = (
        Example("Red circle", {"prompt": "a red circle moving right on a black background"}),
        Example("Blue square", {"prompt": "a blue square growing on a gray background"}),
        Example("Yellow star", {"prompt": "a yellow star spinning on a navy background"}),
        Example("Green triangle", {"prompt": "a green triangle moving down on a beige background"}),
    )


MODE = T2V()
