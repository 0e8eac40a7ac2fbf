"""Sounds that training never heard, what the real pipeline makes of them, and whether that pulses with them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

import nano
from common.catalog import CHECKPOINTS
from common.runtime.model import cpu_vae, index
from common.speech import NANO_CLIPS, SAMPLE_RATE
from nano.judge.cases import Clip, as_array, pil
from nano.judge.measure import look
from nano.train.flow import quality
from nano.train.parts import transformer_class
from nano.train.performances import figures
from nano.train.sounds import loudness, random_sounds
from nano.train.speeches import GROWTH, still_scenes
from nano.train.world import Scenes, render
from nano.words import BACKGROUNDS, COLOURS, SHAPES, caption

LIVELY = 0.15
"""How much the loudness of a sound must vary, as a standard deviation, for a correlation to say anything."""


class Figures(Protocol):
    """What keeps figures by name."""

    def add(self, name: str, value: float) -> None: ...


@dataclass
class Said:
    """A picture of what speaks, its sentence, the sound, and how loud that is in each frame."""

    seed: int
    prompt: str
    scenes: Scenes
    picture: Clip
    sound: NDArray[np.float32]
    loud: NDArray[np.floating]


def speeches(
    count: int, first_seed: int, size: tuple[int, int] = (128, 128), seconds: float = 2.0
) -> list[Said]:
    """Held-out shapes at `size` (height, width) and lively sounds; the seed of each decides all of it."""
    return [_said(seed, size, seconds) for seed in range(first_seed, first_seed + count)]


def _said(seed: int, size: tuple[int, int], seconds: float) -> Said:
    dice = torch.Generator().manual_seed(seed)
    scenes = still_scenes(1, size[1] / size[0], "cpu", held_out=True, generator=dice)
    samples = int(seconds * SAMPLE_RATE)
    frames = NANO_CLIPS.lasting(samples)
    while True:
        sound = random_sounds(1, samples, generator=dice)
        loud = loudness(sound)[0, :frames].numpy()
        if loud.std() > LIVELY:
            break
    still = scenes.radius[:, None]
    way = (scenes.x[:, None], scenes.y[:, None], still, torch.zeros_like(still))
    picture = as_array(render(scenes, 1, *size, way=way)[0][0])[0]
    words = (int(getattr(scenes, name)[0]) for name in ("colour", "shape", "motion", "background", "size"))
    return Said(seed, caption(*words), scenes, picture, sound[0].numpy(), loud)


def load_speaker(device: str) -> Any:
    """The kind's real pipeline in fp32, part by part: diffusers does not know it."""
    from common.runtime.pipelines.s2v.pipeline import WanSpeechToVideoPipeline

    folder = nano.find("s2v")
    _, classes = index.read(folder)
    parts: dict[str, Any] = {}
    for name, (library, kind) in classes.items():
        of: Any = (
            transformer_class(kind)
            if library == "diffusers"
            else getattr(importlib.import_module(library), kind)
        )
        more = {"torch_dtype": torch.float32} if torch.nn.Module in of.__mro__ else {}
        parts[name] = of.from_pretrained(folder / name, **more)
    pipe = WanSpeechToVideoPipeline(**parts).to(device)
    pipe.law = NANO_CLIPS
    pipe.set_progress_bar_config(disable=True)
    if device == "cpu":
        cpu_vae.speed_up(pipe.vae)
    return pipe


@dataclass
class Led:
    """Where somebody is to be in each frame, x and y [frames] as `nano.judge.measure` has them, and the poses."""

    x: NDArray[np.floating]
    y: NDArray[np.floating]
    poses: NDArray[np.uint8]


def led(said: Said) -> Led:
    """From where the picture has it, straight to somewhere else."""
    dice = np.random.default_rng(said.seed + 1)
    height, width = said.picture.shape[:2]
    t, frames = torch.linspace(0, 1, len(said.loud))[None], len(said.loud)
    x, y = (
        start[:, None] + (float(dice.uniform(-0.7, 0.7)) * extent - start[:, None]) * t
        for start, extent in ((said.scenes.x, width / height), (said.scenes.y, 1.0))
    )
    radius = said.scenes.radius[:, None].expand(1, frames)
    way = x, y, radius, torch.zeros_like(radius)
    drawn = as_array(figures(way, height, width)[0])
    seen = look(as_array(render(said.scenes, frames, height, width, way=way)[0][0]))
    return Led(seen.x, seen.y, (drawn * 255).round().astype(np.uint8))


def speak(
    pipe: Any,
    said: Said,
    sound: NDArray[np.float32] | None = None,
    poses: NDArray[np.uint8] | None = None,
    **more: Any,
) -> Clip:
    """The video [frames, height, width, 3] of a speech, clip after clip; of another `sound` if that is given."""
    settings = quality("s2v")
    pipe.scheduler.register_to_config(flow_shift=settings.flow_shift)
    frames = len(said.loud)
    heard = pipe.encode_audio(said.sound if sound is None else sound, frames)
    made: list[Clip] = []
    for number, embeds in enumerate(heard):
        tail = None
        if made:
            tail = (np.concatenate(made)[-pipe.law.motion :] * 255).round().astype(np.uint8)
        settled = {
            "num_inference_steps": settings.num_inference_steps,
            "guidance_scale": settings.guidance_scale,
        }
        driven = None if poses is None else poses[pipe.law.driving(number, len(poses))]
        result = pipe(
            pose_video=driven,
            image=pil(said.picture),
            audio_embeds=embeds[None],
            prompt=said.prompt,
            negative_prompt=CHECKPOINTS["wan2.2-s2v-14b"].negative_prompt,
            tail=tail,
            generator=torch.Generator().manual_seed(said.seed + 7 * number),
            **(settled | more),
        )
        made.append(result.frames[0])
    return np.concatenate(made)[:frames]


@contextmanager
def deaf(pipe: Any) -> Iterator[None]:
    """The transformer without what injects the sound, as if that had been forgotten."""
    injector = pipe.transformer.audio_injector
    places, injector.place = injector.place, {}
    try:
        yield
    finally:
        injector.place = places


def sizes(clip: Clip) -> NDArray[np.floating]:
    """How large the shape is in each frame: the root of what it covers."""
    return np.sqrt(look(clip).area)


def follows(clip: Clip, loud: NDArray[np.floating]) -> float:
    """How well the shape's size goes with the loudness, -1..1; 0 where it does not change."""
    seen = sizes(clip)
    return float(np.corrcoef(seen, loud)[0, 1]) if seen.std() > 1e-6 else 0.0


def check_speeches(pipe: Any, tests: list[Said], tally: Figures) -> None:
    """Own sound, another one, one that is late, none, and a transformer that does not hear; and the other layouts."""
    for name, size in (("wide", (128, 192)), ("tall", (192, 128))):
        for said in speeches(max(len(tests) // 4, 1), tests[0].seed, size):
            clip = speak(pipe, said)
            tally.add(f"{name}/correlation", follows(clip, said.loud))
            tally.add(f"{name}/colour", look(clip).colour == COLOURS[int(said.scenes.colour[0])])
    for number, said in enumerate(tests):
        other = tests[number - 1].loud
        clip = speak(pipe, said)
        judged(tally, said, clip)
        if number % 2 == 0:
            way = led(said)
            for name, one in (("posed", speak(pipe, said, poses=way.poses)), ("pose-dropped", clip)):
                seen = look(one)
                away = np.nanmean(np.hypot(seen.x - way.x, seen.y - way.y))
                tally.add(f"{name}/away-from-its-way", float(away))
                tally.add(f"{name}/correlation", follows(one, said.loud))
        tally.add("own/correlation", follows(clip, said.loud))
        tally.add("own/correlation-over-0.7", follows(clip, said.loud) >= 0.7)
        tally.add("other/correlation", follows(clip, other))
        tally.add("other/own-is-nearer", follows(clip, said.loud) > follows(clip, other))
        late = NANO_CLIPS.dropped
        tally.add("late/correlation", follows(clip[late:], said.loud[:-late]))
        with deaf(pipe):
            dropped = speak(pipe, said)
        tally.add("deaf/correlation", follows(dropped, said.loud))
        tally.add("deaf/own-is-nearer", follows(clip, said.loud) > follows(dropped, said.loud))
        rest = sizes(said.picture[None])[0]
        silent = sizes(speak(pipe, said, np.zeros_like(said.sound))) / rest
        tally.add("silent/size", float(silent.mean()))
        tally.add("silent/variation", float(silent.std()))
        tally.add("silent/at-rest", abs(silent - 1).mean() < 0.1)


def judged(tally: Figures, said: Said, clip: Clip) -> None:
    """Whether it is the picture's shape, at its place, and goes on over the joints of the clips."""
    seen, shown = look(clip), look(said.picture[None])
    wanted = {
        "colour": COLOURS[int(said.scenes.colour[0])],
        "shape": SHAPES[int(said.scenes.shape[0])],
        "background": BACKGROUNDS[int(said.scenes.background[0])],
    }
    for name, word in wanted.items():
        tally.add(f"own/{name}", getattr(seen, name) == word)
    away = np.hypot(seen.x - shown.x[0], seen.y - shown.y[0])
    tally.add("own/away-from-its-place", float(np.nanmean(away)))
    grown = np.diff(np.sqrt(seen.area)) / np.sqrt(shown.area[0])
    astray = np.abs(grown - GROWTH * np.diff(said.loud))
    moved = np.hypot(np.diff(seen.x), np.diff(seen.y))
    for joint in range(NANO_CLIPS.frames - NANO_CLIPS.dropped, len(clip), NANO_CLIPS.frames):
        tally.add("joint/size-step-error", astray[joint - 1])
        tally.add("joint/no-jump", astray[joint - 1] < 0.2 and moved[joint - 1] < 0.08)
    tally.add("any/size-step-error", float(np.nanmean(astray)))
