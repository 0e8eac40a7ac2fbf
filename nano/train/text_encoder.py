"""Trains the nano UMT5: `python -m nano.train.text_encoder --out nano/weights` (two minutes on a CPU)."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from nano.kinds import TEXT_DIM
from nano.train.parts import new_text_encoder, save_half, save_tokenizer
from nano.train.schedule import Budget, learning_rate
from nano.train.texts import END, embed, tokens
from nano.train.world import random_scenes
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES

CHOICES = tuple(len(words) for words in (COLOURS, SHAPES, MOTIONS, BACKGROUNDS, SIZES))


def train(steps: int, batch: int, seed: int = 0) -> tuple[nn.Module, list[float]]:
    """Every token has to know what the whole sentence says: cross-attention then finds it anywhere."""
    torch.manual_seed(seed)
    encoder = new_text_encoder().train()
    # One more class each: the words don't tell.
    head = nn.Linear(TEXT_DIM, sum(CHOICES) + len(CHOICES))
    weights = [*encoder.parameters(), *head.parameters()]
    adam = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-3)
    budget, losses = Budget(0, steps), []
    for fraction in budget:
        adam.param_groups[0]["lr"] = learning_rate(4e-3, budget.step, fraction, warmup=50)
        ids, told = tokens(random_scenes(batch), blank=0.12, drop=0.1)
        there = torch.arange(ids.shape[1]) <= (ids == END).int().argmax(1, keepdim=True)
        scores = head(embed(encoder, ids))[there]
        answers = told.repeat_interleave(there.sum(1), 0)
        loss = torch.zeros(())
        for index, part in enumerate(scores.split([n + 1 for n in CHOICES], 1)):
            loss = loss + F.cross_entropy(
                part, torch.where(answers[:, index] < 0, CHOICES[index], answers[:, index])
            )
        adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        adam.step()
        losses.append(loss.item())
        if budget.step % 100 == 0:
            print(f"text step {budget.step} {budget.elapsed:.0f}s loss {loss.item():.4f}", flush=True)
    return encoder.eval(), losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the weights folder")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    encoder, losses = train(args.steps, args.batch, args.seed)
    save_half(encoder, args.out / "text_encoder")
    save_tokenizer(args.out / "tokenizer")
    print(f"text: loss {losses[0]:.3f} -> {sum(losses[-20:]) / 20:.4f}")


if __name__ == "__main__":
    main()
