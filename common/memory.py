"""How many bytes a job holds on a device at its most: weights, LoRAs, and what each stage of the work adds.

The figures of the stages are fitted to what one H100 held (live tensors; torch 2.11, diffusers 0.42.1, 2026-11-26;
`bench/results/peaks-h100.json`), and tests/common/test_memory.py keeps each of them within 5%.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from common.catalog import (
    AUDIO_ENCODER_PARAMETERS,
    CLIP_PARAMETERS,
    TEXT_ENCODER_PARAMETERS,
    VAE_PARAMETERS,
    Architecture,
)
from common.contract import Precision
from common.cost import tokens

BYTES: Final[Mapping[Precision, float]] = {"float32": 4, "float16": 2, "bfloat16": 2, "float8": 1.001}
"""Of a parameter; 8-bit weights have a scale in fp32 beside each row of thousands."""

BETWEEN = 1.25
"""Room for what lies between the tensors of a VAE that works on whole frames: their sizes differ from frame to frame.

In 51.0 GB a decode of 22.6 GB died beside weights of 24.2 (H100, segments of fixed size); it needs 53 to end there.
"""
TEXT_BYTES = 300_000_000
"""What encoding a prompt of 512 tokens adds."""
BLOCKS_IN_FLIGHT = 3
"""Of an offloaded stack: the one at work, the one that comes, and the one that goes."""
TEXT_LAYERS = 24
FACE = 512
"""Width and height of the faces that Animate is given."""

SCORES = 2**27
"""Attention of more of them (batch x heads x queries x keys) goes in pieces of as many on Apple's GPUs.

They are wrong from 2**31 on (`placement.MPS_ELEMENTS`), less exact in bf16 from 3,000 tokens on (pytorch #190791),
and hold all scores at once, which for a 14B at 720p would be 2,000 GB. So the limit is one of memory.
"""
SCORE_BYTES = 10
"""Of a score that is not fused away: the product in bf16, and float32 twice for the softmax."""
APPLE = 3
"""How many times an H100's activations a job is held to take on Apple's GPUs: **unverified**, on no Mac of ours.

Driver peaks that others published (M5 Max, torch 2.11, diffusers 0.38; what the driver keeps for later is counted):
87 GB for TI2V-5B at 720p x 13 frames, 98 to 101 for A14B at 480p x 9; weights and three times the decode are 88 and
96. Those of a 14B (92 to 101 at 480p x 17, 129 to 135 at 720p x 13) had whole scores besides, 24 and 83 GB of them by
`SCORE_BYTES`, which do not exist in pieces.
"""


@dataclass(frozen=True)
class Shape:
    """What is made: a clip, or one segment of it. `references` are pictures of VACE, or the character's: each is a
    latent frame more.
    """

    width: int
    height: int
    num_frames: int
    references: int = 0

    @property
    def pixels(self) -> int:
        """Of one frame."""
        return self.width * self.height


def parameters(architecture: Architecture) -> dict[str, int]:
    """How many each part of a pipeline has, by its name in diffusers; both experts are `transformer`."""
    a = architecture
    return {
        "transformer": a.parameters * a.experts,
        "text_encoder": TEXT_ENCODER_PARAMETERS,
        "vae": VAE_PARAMETERS[a.spatial],
        "image_encoder": CLIP_PARAMETERS if a.clip else 0,
        "audio_encoder": AUDIO_ENCODER_PARAMETERS if a.audio_injectors else 0,
    }


def in_blocks(architecture: Architecture) -> int:
    """Parameters of the blocks of one transformer, those of a control branch included; the rest is in no block."""
    a = architecture
    cross = 6 if a.clip else 4  # keys and values of the picture beside those of the text
    return (a.layers + a.control_layers) * ((4 + cross) * a.dim * a.dim + 2 * a.dim * a.ffn)


def in_adapters(architecture: Architecture) -> int:
    """Parameters of what looks at a face, or listens, after some of the blocks: in full where those are in 8 bits."""
    return (architecture.face_adapters * 4 + architecture.audio_injectors * 6) * architecture.dim**2


def kept_whole(architecture: Architecture) -> int:
    """Parameters of one transformer that stay in fp32 among those in bf16, where they are many: Animate-2's of the
    timestep.
    """
    return 7 * architecture.dim**2 if architecture.caches_video else 0


def lora(architecture: Architecture, rank: int) -> int:
    """A LoRA on every attention and feed-forward weight of one transformer, in bf16."""
    a = architecture
    return 2 * rank * a.layers * (8 * 2 * a.dim + 2 * (a.dim + a.ffn))


def denoise(
    architecture: Architecture, shape: Shape, *, lora: bool = False, compiled: bool = False,
    integers: bool = False,
) -> float:  # fmt: skip
    """Activations of one forward; those of classifier-free guidance come one after the other."""
    a = architecture
    each = 13.33 * a.dim + 3.295 * a.ffn
    if compiled:
        each = 7.3 * a.dim + 2.75 * a.ffn
    if integers:  # query, key and value are there in both forms
        each = max(each, 26.3 * a.dim)
    if a.caches_video:
        each = 35.1 * a.dim  # queries, and keys of both videos, are turned in double precision
    if a.face_adapters or a.audio_injectors:
        each += 4 * a.dim  # what the last one made stands beside the blocks that follow
    if lora:  # what it adds to a layer's output stands beside that
        each += 2.4 * a.dim
    if a.spatial == 16:
        each += 36 * a.dim  # `expand_timesteps`: an embedding of the timestep for every token
    if a.control_layers:
        each += 2 * a.dim * (a.control_layers + 1)  # a hint for each of them, kept to the end
    return each * tokens(a, shape.width, shape.height, shape.num_frames, shape.references)


def exchanged(architecture: Architecture, shape: Shape) -> float:
    """What cards that share a forward send each other, all of them: query, key and value, sent and come, in bf16."""
    a = architecture
    return 12 * a.dim * tokens(a, shape.width, shape.height, shape.num_frames, shape.references)


def reused(architecture: Architecture, shape: Shape, branches: int = 2) -> float:
    """What the first block added and what all others did, kept from step to step, for each expert and each of the
    `branches`, which are with the prompt and without; and what the others are given, in bf16.
    """
    a = architecture
    each = tokens(a, shape.width, shape.height, shape.num_frames, shape.references)
    return 2 * a.dim * each * (2 * branches * a.experts + 1)


def cache(architecture: Architecture, shape: Shape) -> float:
    """Keys and values of the driving video, of every layer, in bf16: there from before the first step to after the
    decode. The character's picture is not in it.
    """
    a = architecture
    if not a.caches_video:
        return 0
    return 2 * 2 * a.layers * a.dim * tokens(a, shape.width, shape.height, shape.num_frames)


def given(architecture: Architecture, shape: Shape) -> float:
    """Videos that lie on the device as float32 as long as a segment is made: the driving one, or what was made of it
    (pose, scene and mask; and faces, which are there in bf16 as well).
    """
    pixels = shape.pixels * shape.num_frames
    if architecture.caches_video:
        return 3 * 4 * pixels
    if architecture.face_adapters:
        return (3 + 3 + 1) * 4 * pixels + 3 * (4 + 2) * FACE**2 * shape.num_frames
    return 0


def scores(elements: int) -> float:
    """What an attention of so many scores holds beside its inputs, where it is not fused."""
    return SCORE_BYTES * min(elements, SCORES)


def decode(architecture: Architecture, shape: Shape, precision: Precision, *, tiled: bool) -> float:
    """What the VAE needs to make the frames: a cache of its layers, and the frames themselves."""
    each = BYTES[precision] / 4
    if tiled:
        small = 0.35e9 if architecture.spatial == 8 else 0
        return each * (small + (51 if architecture.spatial == 8 else 56) * shape.pixels * shape.num_frames)
    if precision == "float16":  # ours, compiled; its frames leave the device one by one
        return shape.pixels * (19_900 if architecture.spatial == 8 else 16_200)
    layers = 22_550 if architecture.spatial == 8 else 23_600
    return each * shape.pixels * (layers + 12.2 * shape.num_frames)


def encode(architecture: Architecture, shape: Shape, *, tiled: bool) -> float:
    """What the VAE needs to read a clip, always in full precision."""
    if tiled:
        return 1.2e9 if architecture.spatial == 8 else 1.98e9 + 14.7 * shape.pixels * shape.num_frames
    layers, frames = (17_200, 0.0) if architecture.spatial == 8 else (8_470, 12.3)
    return shape.pixels * (layers + frames * shape.num_frames)
