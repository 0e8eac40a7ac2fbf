"""What is made of a sound before a GPU is asked for: what each clip hears, and the sound as people hear it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.media.shelf import Shelf
from common.media.sound import HEARD_RATE, Samples, Sound
from common.runtime.pipelines.s2v import audio
from common.speech import ClipLaw

HEARS, HEARD = "hears", "heard"


@dataclass(frozen=True)
class Spoken:
    """Files, for a job may go on for long and in other processes."""

    folder: Path
    clips: Sequence[Path]
    sound: Path

    def hears(self, clip: int) -> Tensor:
        """What a clip hears, [1, layers, channels, frames] in float32."""
        return torch.from_numpy(np.load(self.clips[clip], allow_pickle=False))[None].float()

    def heard(self) -> Samples:
        """The sound, as long as the video."""
        return Samples(np.load(self.sound, allow_pickle=False), HEARD_RATE)


def listen(
    sound: Sound, frames: int, law: ClipLaw, ears: Callable[[], tuple[Any, Any]], shelf: Shelf
) -> Spoken:
    """Made once, and found from then on; `ears` loads the encoder and its processor, where they are needed."""
    count, seconds = law.count(frames), frames / law.fps
    clips = [shelf.find(HEARS, clip) for clip in range(count)]
    if None in clips:
        embeds = audio.embed(sound.speech(0, seconds), *ears(), law, frames)
        clips = [
            shelf.keep(HEARS, n, ".npy", partial(_save, each.half().numpy())) for n, each in enumerate(embeds)
        ]
    heard = shelf.find(HEARD) or shelf.keep(
        HEARD, None, ".npy", partial(_save, sound.heard(0, seconds).values)
    )
    return Spoken(shelf.folder, [clip for clip in clips if clip], heard)


def _save(values: NDArray[Any], path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, values, allow_pickle=False)
