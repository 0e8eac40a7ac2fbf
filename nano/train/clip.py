"""Trains the nano CLIP image encoder: `python -m nano.train.clip --seconds 60 --out nano/weights`."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from nano.kinds import CLIP_DIM
from nano.train.conditions import see
from nano.train.parts import new_clip, save_half, save_image_processor
from nano.train.schedule import Budget, learning_rate
from nano.train.world import random_scenes, render
from nano.words import BACKGROUNDS, COLOURS, SHAPES

CHOICES = (len(COLOURS), len(SHAPES), len(BACKGROUNDS))


def train(budget: Budget, batch: int, device: str, seed: int = 0) -> tuple[nn.Module, list[float]]:
    """The tokens that the transformers see must tell what is in the picture and where."""
    torch.manual_seed(seed)
    random.seed(seed)
    model = new_clip().to(device).train()
    head = nn.Linear(CLIP_DIM, sum(CHOICES) + 3).to(device)
    weights = [*model.parameters(), *head.parameters()]
    adam = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-2)
    losses: list[float] = []
    for fraction in budget:
        adam.param_groups[0]["lr"] = learning_rate(1.5e-3, budget.step, fraction)
        height, width = random.choice(((128, 128), (128, 192), (192, 128)))
        scenes = random_scenes(batch, width / height, device=device)
        picture = render(scenes, 1, height, width)[0][:, :, 0]
        told = head(see(model, picture).mean(1))
        colour, shape, background, place = told.split([*CHOICES, 3], 1)
        where = torch.stack([scenes.x * height / width, scenes.y, scenes.radius], 1)
        loss = F.cross_entropy(colour, scenes.colour) + F.cross_entropy(shape, scenes.shape)
        loss = loss + F.cross_entropy(background, scenes.background) + 10 * F.mse_loss(place, where)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        if budget.step % 200 == 0 or budget.step < 30:
            losses.append(loss.item())
            right = (shape.argmax(1) == scenes.shape).float().mean().item()
            print(
                f"clip step {budget.step} {budget.elapsed:.0f}s loss {losses[-1]:.4f} shape {right:.3f}",
                flush=True,
            )
    return model.eval(), losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the weights folder")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=512)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, _ = train(Budget(args.seconds, args.steps), args.batch, device)
    save_half(model.cpu(), args.out / "clip")
    save_image_processor(args.out / "clip-processor")


if __name__ == "__main__":
    main()
