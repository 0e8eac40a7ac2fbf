"""Test cases that training never saw, and the clips that the real pipelines make of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import nano
from common.catalog import CHECKPOINTS
from nano.kinds import kind_named
from nano.train.controls import edge_video, random_masks
from nano.train.flow import FAST, quality
from nano.train.world import Scenes, random_scenes, render
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, caption

Clip = NDArray[np.floating]
FRAMES = 17


@dataclass
class Case:
    """One scene, its sentence, its true clip (0…1) and where the shape is in it."""

    seed: int
    prompt: str
    wanted: dict[str, str]
    clip: Clip
    cover: Clip
    scenes: Scenes


def cases(
    count: int, first_seed: int, size: tuple[int, int] = (128, 128), frames: int = FRAMES
) -> list[Case]:
    """Held-out combinations at `size` (height, width); the seed of a case decides everything about it."""
    made = []
    for seed in range(first_seed, first_seed + count):
        generator = torch.Generator().manual_seed(seed)
        scene = random_scenes(1, size[1] / size[0], held_out=True, generator=generator)
        clip, cover = render(scene, frames, *size)
        which = [int(getattr(scene, name)[0]) for name in ("colour", "shape", "motion", "background", "size")]
        wanted = {
            "colour": COLOURS[which[0]],
            "shape": SHAPES[which[1]],
            "motion": MOTIONS[which[2]],
            "background": BACKGROUNDS[which[3]],
        }
        made.append(Case(seed, caption(*which), wanted, as_array(clip[0]), cover[0, 0].numpy(), scene))
    return made


def as_array(clip: Tensor) -> Clip:
    """[3, frames, h, w] in −1…1 to [frames, h, w, 3] in 0…1."""
    return ((clip.permute(1, 2, 3, 0).float().cpu().numpy() + 1) / 2).clip(0, 1)


def pil(picture: Clip) -> Any:
    from PIL import Image

    return Image.fromarray((picture * 255).round().astype(np.uint8))


def load(kind_name: str, device: str, class_name: str | None = None) -> Any:
    """The kind's real pipeline in fp32."""
    import diffusers

    from common.runtime.model import cpu_vae

    diffusers.utils.logging.set_verbosity_error()  # pyright: ignore[reportPrivateImportUsage]
    pipeline = getattr(diffusers, class_name or kind_named(kind_name).pipeline)
    pipe = pipeline.from_pretrained(nano.find(kind_name), dtype=torch.float32).to(device)
    pipe.set_progress_bar_config(disable=True)
    if device == "cpu":
        cpu_vae.speed_up(pipe.vae)
    return pipe


def add_lightning(pipe: Any, kind_name: str) -> None:
    for component, path in nano.lora(kind_name).items():
        second = {"load_into_transformer_2": True} if component == "transformer_2" else {}
        name = f"fast_{component}"
        pipe.load_lora_weights(str(path.parent), weight_name=path.name, adapter_name=name, **second)


def run(pipe: Any, kind_name: str, batch: list[Case], *, fast: bool = False, **more: Any) -> Iterator[Clip]:
    """Clips for a batch of cases at the kind's own settings, through the pipeline as the Studio calls it."""
    settings = FAST if fast else quality(kind_name)
    pipe.scheduler.register_to_config(flow_shift=settings.flow_shift)
    if settings.guidance_scale_2 is not None:
        more.setdefault("guidance_scale_2", settings.guidance_scale_2)
    negative = next(row.negative_prompt for row in CHECKPOINTS.values() if row.kind == kind_name)
    frames, height, width = batch[0].clip.shape[:3]
    result = pipe(
        prompt=[case.prompt for case in batch] if len(batch) > 1 else batch[0].prompt,
        negative_prompt=[negative] * len(batch) if len(batch) > 1 else negative,
        height=height,
        width=width,
        num_inference_steps=more.pop("num_inference_steps", settings.num_inference_steps),
        guidance_scale=more.pop("guidance_scale", settings.guidance_scale),
        generator=[torch.Generator().manual_seed(case.seed) for case in batch]
        if len(batch) > 1
        else torch.Generator().manual_seed(batch[0].seed),
        output_type="np",
        max_sequence_length=512,
        **({} if "strength" in more else {"num_frames": frames}),
        **more,
    )
    yield from result.frames


def edges(case: Case) -> list[Any]:
    """The case's outlines as a control video."""
    return [pil(frame) for frame in as_array(edge_video(torch.from_numpy(case.cover)[None, None])[0])]


def box_mask(case: Case) -> NDArray[np.bool_]:
    """A box around the shape in every frame."""
    cover = torch.from_numpy(case.cover)[None, None]
    generator = torch.Generator().manual_seed(case.seed)
    height, width = case.cover.shape[1:]
    return random_masks(1, len(case.cover), height, width, cover, generator)[0, 0].numpy() > 0.5
