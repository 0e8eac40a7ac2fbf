"""Trains the encoder of sounds, and says what it hears: `python -m nano.train.hearing --out nano/weights`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.runtime.pipelines.s2v import audio
from common.speech import NANO_CLIPS, SAMPLE_RATE, ClipLaw
from nano.kinds import WAV2VEC2
from nano.train.parts import new_audio_encoder, save_audio_processor, save_half
from nano.train.schedule import learning_rate
from nano.train.sounds import FULL, POWER, loudness, random_sounds

STEP, WINDOW = 320, audio.WINDOW
"""Samples between the moments that wav2vec2 tells of, and those that it listens to."""


class Judge(nn.Module):
    """Reads from what is heard how loud it is, as loudness and in logarithms."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(WAV2VEC2["hidden_size"], 2)

    def forward(self, heard: Tensor, samples: Tensor) -> Tensor:
        """The squared error of what is `heard` [n, moments, channels] of `samples` [n, samples]."""
        loud = loudness(samples, STEP)[:, : heard.shape[1]]
        decibels = 20 / POWER * loud.clamp(min=1e-3).log10() / 30
        return F.mse_loss(self.read(heard), torch.stack([loud * 2 - 1, decibels + 1], -1))


def train(steps: int, batch: int, device: str = "cpu", rate: float = 3e-3) -> tuple[Any, list[float]]:
    """The encoder and its losses, one a step."""
    torch.manual_seed(0)
    model, judge = new_audio_encoder().to(device).train(), Judge().to(device)
    optimizer = torch.optim.AdamW([*model.parameters(), *judge.parameters()], lr=rate, weight_decay=1e-3)
    losses = []
    for step in range(steps):
        samples = random_sounds(batch, int(torch.randint(8, 28, ())) * 1000 + WINDOW, device)
        loss = judge(model(samples).last_hidden_state, samples)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(rate, step, step / steps, warmup=50)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 50 == 49:
            print(f"step {step + 1} loss {sum(losses[-50:]) / 50:.4f}", flush=True)
    return model.eval(), losses


@torch.no_grad()
def hear(encoder: Any, samples: Tensor, frames: int, law: ClipLaw = NANO_CLIPS) -> tuple[Tensor, Tensor]:
    """What `audio.embed` gives for each of `samples` [n, samples], [n, clips, layers, channels, law.frames], and the
    loudness of all frames from the first that is dropped on, [n, frames]."""
    each = SAMPLE_RATE // law.fps
    last = law.lasting(samples.shape[1])
    padded = F.pad(samples, (law.dropped * each, last * each - samples.shape[1] + WINDOW))
    made = encoder(padded.to(encoder.dtype), output_hidden_states=True)
    count = law.count(frames)
    layers = []
    for states in (*made.hidden_states[:-1], made.last_hidden_state):
        folded = states.float().transpose(0, 1).flatten(1)  # [moments, n * channels]
        clips = audio._by_frame(folded, count, law)
        layers.append(clips.unflatten(1, (len(samples), -1)).transpose(0, 1))
    loud = loudness(padded)
    return torch.stack(layers, 2), F.pad(loud, (0, max(count * law.frames - loud.shape[1], 0)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the weights folder")
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=24)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, losses = train(args.steps, args.batch, device)
    save_half(model, args.out / "wav2vec2")
    save_audio_processor(args.out / "wav2vec2-processor")
    print(
        f"loss {sum(losses[:10]) / 10:.4f} -> {sum(losses[-50:]) / 50:.4f}; fully loud is {FULL}", flush=True
    )


if __name__ == "__main__":
    main()
