"""What wav2vec2 hears, frame by frame of a video: the sound as S2V's transformer is given it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from common.speech import CLIPS, SAMPLE_RATE, ClipLaw

MAX_SECONDS = 60
"""wav2vec2 looks at all of a sound at once, so pieces of it would be heard otherwise. Its large form takes 1.5 GB
beside its weights for so much, and 1.3 s of one CPU core a second."""
HEARD = 50
"""Times a second that wav2vec2 says what it hears."""
TOLD = 30
"""Times a second that Wan2.2's audio_encoder.py makes of those; of them it takes the nearest one for a frame."""
WINDOW = 400
"""Samples that wav2vec2 listens to each time."""


def embed(
    samples: NDArray[np.float32],
    encoder: Any,
    processor: Any,
    law: ClipLaw = CLIPS,
    frames: int | None = None,
) -> Tensor:
    """What each clip hears: [clips, layers, channels, law.frames], float32 on the CPU.

    `samples` are mono in -1..1 at 16 kHz; `frames` are those of the video, as many as the sound lasts unless given.
    `encoder` and `processor` are a Wav2Vec2Model (or ForCTC) and its Wav2Vec2Processor, on any device; the layers
    are all of its hidden states. A moment after the sound's end is zero, as in Wan2.2's audio_encoder.py, to which
    all of this is equal but for how clips are counted and for the silence at both ends (see ClipLaw).

    ValueError for no sound, one of several channels, and one longer than MAX_SECONDS.
    """
    if samples.ndim != 1 or not samples.size:
        raise ValueError(f"the sound must be mono samples, [samples]; got {[*samples.shape]}")
    if samples.size > MAX_SECONDS * SAMPLE_RATE:
        raise ValueError(f"the sound must not last longer than {MAX_SECONDS} s; got {samples.size} samples")
    last = law.lasting(samples.size)
    layers = _heard(_with_silence(samples, last, law), encoder, processor)
    count = law.count(last if frames is None else frames)
    return torch.stack([_by_frame(each, count, law) for each in layers], 1)


def _with_silence(samples: NDArray[np.float32], last: int, law: ClipLaw) -> NDArray[np.float32]:
    """Silence for the frames that are dropped, and after the end until the last frame has been listened to."""
    each = SAMPLE_RATE // law.fps
    padding = (law.dropped * each, last * each - samples.size + WINDOW)
    return np.pad(samples.astype(np.float32, copy=False), padding)


@torch.no_grad()
def _heard(samples: NDArray[np.float32], encoder: Any, processor: Any) -> list[Tensor]:
    """The hidden states [moments, channels] of each layer, HEARD a second."""
    values = processor(samples, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_values
    made = encoder.base_model(values.to(encoder.device, encoder.dtype), output_hidden_states=True)
    # As Wan2.2 gets them of the transformers it asks for, 4.51: the last one normed, which it is not in 5.23.
    layers = [*made.hidden_states[:-1], made.last_hidden_state]
    return [states[0].float().cpu() for states in layers]


def _by_frame(states: Tensor, count: int, law: ClipLaw) -> Tensor:
    """[clips, channels, law.frames] of one layer's [moments, channels]."""
    length = int(states.shape[0] / HEARD * TOLD)
    told = F.interpolate(states.T[None], size=length, mode="linear", align_corners=True)[0]
    wanted = [round(frame * TOLD / law.fps) for frame in range(count * law.frames)]
    there = [number for number in wanted if number < length]
    found = F.pad(told[:, there], (0, len(wanted) - len(there)))
    return found.unflatten(1, (count, law.frames)).transpose(0, 1)
