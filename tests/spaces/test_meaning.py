"""What FLF2V, V2V and VACE are for, seen in trained Wan-Nano's clips by measurement, each against a control.

A coherent video that ignores its conditioning passes every quality metric: these look at adherence.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from common.modes.flf2v import MODE as FLF2V
from nano.judge.measure import Seen, look, psnr
from tests.spaces import media_for_modes as media

EXAMPLES = Path(__file__).parents[2] / "common" / "examples"
PROMPT = "a {} circle moving right on a black background"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SOURCE = media.read(EXAMPLES / "red-circle.mp4") / 255


def handle(name: str) -> dict[str, str]:
    return {"path": str(EXAMPLES / name)}


def still(name: str) -> np.ndarray:
    return np.asarray(Image.open(EXAMPLES / name).convert("RGB")) / 255


START, END = still("red-circle-start.png"), still("red-circle-end.png")
ENDS = {"image": handle("red-circle-start.png"), "last_image": handle("red-circle-end.png")}


@pytest.fixture
def seen(make):
    def go(mode: str, **values: Any) -> tuple[np.ndarray, Seen]:
        path, _ = make(mode, **{"preset": "quality", "num_frames": 17, "num_inference_steps": 20, **values})
        clip = media.read(path) / 255
        return clip, look(clip)

    return go


def test_the_studio_wires_two_experts_as_the_bare_pipeline_does(make):
    """Its clip is the pipeline's own; swapped guidance, experts, boundary or shift make another one."""
    from nano.judge.cases import load

    asked: dict[str, Any] = {"guidance_scale": 6.0, "guidance_scale_2": 2.0, "num_inference_steps": 8}
    words = {"prompt": PROMPT.format("red"), "negative_prompt": "gray"}
    made, _ = make(
        "t2v", checkpoint="wan2.2-t2v-a14b", preset="quality", num_frames=17, seed=5, **asked, **words
    )
    clip = media.read(made) / 255
    pipe = load("moe", "cpu")
    experts = pipe.transformer, pipe.transformer_2

    def bare(shift: float = 12.0, boundary: float = 0.875, swapped: bool = False, **other: Any) -> float:
        pipe.scheduler.register_to_config(flow_shift=shift)
        pipe.register_to_config(boundary_ratio=boundary)
        pipe.transformer, pipe.transformer_2 = experts[::-1] if swapped else experts
        generator = torch.Generator().manual_seed(5)
        output = pipe(
            height=128, width=128, num_frames=17, output_type="np", generator=generator,
            **{**asked, **words, **other},
        )  # fmt: skip
        return psnr(output.frames[0], clip)

    right = bare()
    wrong = {
        "guidance": bare(guidance_scale=2.0, guidance_scale_2=6.0),
        "experts": bare(swapped=True),
        "boundary": bare(boundary=0.5),
        "shift": bare(shift=3.0),
    }
    assert right > 33, right  # what the mp4 costs
    assert all(right > other + 5 for other in wrong.values()), (right, wrong)


@pytest.mark.parametrize("preset", ["fast", "quality"])
@pytest.mark.parametrize("checkpoint", ["wan2.1-t2v-14b", "wan2.2-t2v-a14b"])
def test_text_becomes_what_it_says(make, preset, checkpoint):
    path, _ = make(
        "t2v", prompt=PROMPT.format("green"), checkpoint=checkpoint, preset=preset,
        num_frames=17, num_inference_steps=None,
    )  # fmt: skip
    saw = look(media.read(path) / 255)
    assert (saw.background, saw.colour, saw.motion) == ("black", "green", "moving right")


@pytest.mark.parametrize("checkpoint", ["wan2.1-i2v-14b-720p", "wan2.2-i2v-a14b", "wan2.2-ti2v-5b"])
def test_a_picture_moves_on_from_itself(seen, checkpoint):
    clip, saw = seen("i2v", prompt=PROMPT.format("red"), image=ENDS["image"], checkpoint=checkpoint)
    assert psnr(clip[0], START) > 24
    assert (saw.background, saw.colour, saw.motion) == ("black", "red", "moving right")


@pytest.mark.parametrize(
    ("mode", "submode"),
    [
        ("flf2v", None),
        ("vace", "firstlastframe"),
    ],
)
def test_both_ends_are_those_that_were_given(seen, mode, submode):
    values = {"submode": submode} if submode else {}
    clip, saw = seen(mode, prompt=PROMPT.format("red"), **ENDS, **values)
    assert psnr(clip[0], START) > psnr(clip[0], END) + 8
    assert psnr(clip[-1], END) > psnr(clip[-1], START) + 5
    assert (saw.colour, saw.motion) == ("red", "moving right")


@pytest.mark.parametrize("preset", ["fast", "quality"])
@pytest.mark.parametrize("example", FLF2V.nano_examples, ids=lambda e: e.label)
def test_the_shipped_examples_reach_their_end_frame(make, example, preset):
    """With nothing chosen but the example: the checkpoint is the mode's own."""
    names = {n: handle(v) if n.endswith("image") else v for n, v in example.values.items()}
    path, events = make("flf2v", preset=preset, num_frames=None, num_inference_steps=None, **names)
    assert events[-1].plan.checkpoint == "wan2.1-flf2v-14b-720p"
    assert psnr(media.read(path)[-1] / 255, still(example.values["last_image"])) > 28


@pytest.mark.parametrize("strength", [0.5, 0.8])
def test_v2v_takes_the_new_colour_and_keeps_the_motion(seen, strength):
    _, saw = seen("v2v", prompt=PROMPT.format("blue"), video=handle("red-circle.mp4"), strength=strength)
    assert (saw.colour, saw.motion) == ("blue", "moving right")
    assert np.nanmax(np.abs(saw.x - look(SOURCE).x)) < 0.3


@pytest.mark.parametrize("submode", ["gray", "scribble"])
def test_control_keeps_the_place_and_the_prompt_gives_the_colour(seen, submode):
    _, saw = seen("vace", prompt=PROMPT.format("green"), submode=submode, video=handle("red-circle.mp4"))
    assert (saw.colour, saw.shape, saw.motion) == ("green", "circle", "moving right")
    assert np.nanmax(np.abs(saw.x - look(SOURCE).x)) < 0.25


def test_inpainting_keeps_the_black_and_makes_the_white(seen):
    _, saw = seen(
        "vace", prompt="a blue square moving right on a black background", submode="inpainting_bbox",
        bbox=[0, 0.25, 1, 0.75], video=handle("red-circle.mp4"),
    )  # fmt: skip
    assert (saw.colour, saw.shape) == ("blue", "square")


def test_outpainting_keeps_the_source_in_the_middle(seen):
    clip, _ = seen("vace", prompt=PROMPT.format("red"), submode="outpainting", video=handle("red-circle.mp4"))
    # 128x128 grown by a quarter on either side is 192x128; in 128x128 the source is 85x85 at (21, 21).
    small = np.stack(
        [np.asarray(Image.fromarray((f * 255).astype(np.uint8)).resize((85, 85))) / 255 for f in SOURCE]
    )
    assert psnr(clip[:, 21:106, 21:106], small) > psnr(clip[:, :85, :85], small) + 5


def test_a_continued_clip_begins_with_its_end(seen):
    clip, _ = seen(
        "vace",
        prompt=PROMPT.format("red"),
        submode="firstclip",
        video=handle("red-circle.mp4"),
        keep_frames=5,
    )
    assert psnr(clip[:5], SOURCE[-5:]) > psnr(clip[:5], SOURCE[:5]) + 10


def test_a_video_as_given_comes_back(seen):
    clip, _ = seen("vace", prompt=PROMPT.format("red"), video=handle("red-circle.mp4"))
    assert psnr(clip, SOURCE) > 22
