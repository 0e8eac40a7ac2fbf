"""Distils 4-step LoRAs: `python -m nano.train_lightning --kind dense --weights nano/weights --seconds 90`."""

from __future__ import annotations

import argparse
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nano import lora_file
from nano.assemble import lora_file_name
from nano.conditions import Shelf, fill_shelves
from nano.fast_blocks import prepare_for_training
from nano.flow import FAST, negative_ids, noise_range, quality, velocity
from nano.kinds import Kind, kind_named
from nano.sampling import sample, scheduler
from nano.schedule import Budget, learning_rate
from nano.steps import Batch, GraphedStep, Master
from nano.texts import embed, tokens
from nano.train_transformer import Frozen, load_transformer


class LoraLinear(nn.Module):
    """A frozen linear layer and what is added to it."""

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        device = base.weight.device
        self.down = nn.Parameter(torch.randn(rank, base.in_features, device=device) / base.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(base.out_features, rank, device=device))

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x) + (x @ self.down.to(x.dtype).T) @ self.up.to(x.dtype).T


def add_lora(transformer: Any, rank: int) -> dict[str, LoraLinear]:
    """Puts a LoRA on every layer that a Lightning file changes."""
    added: dict[str, LoraLinear] = {}
    for name in lora_file.target_layers(transformer):
        parent, _, leaf = name.rpartition(".")
        holder = transformer.get_submodule(parent)
        wrapped = LoraLinear(getattr(holder, leaf), rank)
        setattr(holder, leaf, wrapped)
        added[name] = wrapped
    return added


@dataclass
class Paths:
    """Where the teacher was at each of the four Fast noise levels, and where it ended."""

    shelf: Shelf
    text: Tensor
    states: Tensor  # [n, 4, ...]
    end: Tensor


@torch.no_grad()
def teacher_paths(
    kind: Kind, experts: dict[str, Any], frozen: Frozen, shelf: Shelf, batch: int, steps: int
) -> Paths:
    """One batch of clips made at Quality, seen at the noise levels that Fast visits."""
    batch = min(batch, len(shelf.scenes))
    index = torch.randint(len(shelf.scenes), (batch,), device=shelf.latents.device)
    shelf = shelf.take(index)
    device = shelf.latents.device
    ids, _ = tokens(shelf.scenes, drop=0.03, vague=0.03)
    text, empty = embed(frozen.text, ids), embed(frozen.text, negative_ids(batch, device))
    boundary = kind.index.get("boundary_ratio")
    guidance = min(quality(kind.name).guidance_scale, 4.0)

    def predict(latents: Tensor, t: Tensor, conditional: bool) -> Tensor:
        high = boundary is None or float(t) >= float(boundary) * 1000
        model = experts["transformer" if high else "transformer_2"]
        sigma = (t.float() / 1000).expand(batch)
        return velocity(model, kind, shelf, latents, sigma, text if conditional else empty)

    noise = torch.randn_like(shelf.latents)
    # The same shift as Fast, so that the teacher's grid holds Fast's four levels when steps is a multiple of 4.
    end, states = sample(predict, noise, FAST.flow_shift, steps, guidance)
    fast = scheduler(FAST.flow_shift)
    fast.set_timesteps(FAST.num_inference_steps, device=device)
    levels = torch.tensor([sigma for sigma, _ in states])
    near = [int((levels - float(s)).abs().argmin()) for s in fast.sigmas[: FAST.num_inference_steps]]
    return Paths(shelf, text, torch.stack([states[i][1] for i in near], 1), end)


def train_expert(
    kind: Kind, expert: str, model: Any, paths: list[list[Paths]], budget: Budget, rate: float, batch: int
) -> tuple[dict[str, tuple[Tensor, Tensor]], list[float]]:
    """From each of its noise levels the student aims straight at the teacher's end."""
    device = paths[0][0].end.device
    layers = add_lora(model, lora_file.RANK)
    master = Master(model, rate, device.type, decay=0.998)
    fast = scheduler(FAST.flow_shift)
    fast.set_timesteps(FAST.num_inference_steps, device=device)
    low, high = noise_range(kind, expert)
    mine = [i for i, t in enumerate(fast.timesteps.tolist()) if low * 1000 <= t < high * 1001]

    def learn(now: Batch) -> Tensor:
        extra = now.shelf.extra
        made = velocity(model, kind, now.shelf, now.shelf.latents, extra["told"], now.text)
        aim = now.shelf.latents - extra["sigma"].view(-1, 1, 1, 1, 1) * made
        # Huber: where the end cannot be known yet, a likely one is better than the mean of all.
        gap = nn.functional.huber_loss(aim, extra["end"], reduction="none", delta=0.3)
        loss = (gap * now.shelf.weight).mean()
        master.learn(loss)
        return loss

    steps = [GraphedStep(learn, device.type) for _ in paths]
    sizes = [sum(len(p.end) for p in group) for group in paths]
    losses: list[float] = []
    for fraction in budget:
        master.rate.fill_(learning_rate(rate, budget.step, fraction, warmup=50))
        which = random.choices(range(len(paths)), sizes)[0]
        now = random.choice(paths[which])
        pick = torch.randint(len(now.end), (min(batch, len(now.end)),), device=device)
        level = random.choice(mine)
        extra = {name: value[pick].float() for name, value in now.shelf.extra.items()}
        extra["end"] = now.end[pick].float()
        extra["sigma"] = fast.sigmas[level].to(device).float().expand(len(pick)).clone()
        extra["told"] = fast.timesteps[level].float().expand(len(pick)) / 1000
        state = now.states[pick, level].float()
        shelf = Shelf(now.shelf.scenes[pick], state, now.shelf.weight[pick].float(), extra)
        loss = steps[which](Batch(shelf, now.text[pick].float()))
        master.average()
        if budget.step % 100 == 0:
            losses.append(loss.item())
            if budget.step % 500 == 0:
                print(f"lightning {kind.name}/{expert} step {budget.step} loss {losses[-1]:.4f}", flush=True)
    learned = dict(zip(master.names, master.averaged, strict=True))
    return {name: (learned[f"{name}.down"], learned[f"{name}.up"]) for name in layers}, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=90, help="half of them make paths, the rest trains")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--samples", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--paths", type=int, default=512, help="clips that the teacher makes at once")
    parser.add_argument("--teacher-steps", type=int, default=16)
    parser.add_argument("--rate", type=float, default=1e-3)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    random.seed(0)
    kind = kind_named(args.kind)
    frozen = Frozen(kind, args.weights, device)
    experts: dict[str, Any] = {}
    for expert in kind.experts:
        model = load_transformer(kind, expert, args.weights / kind.name / expert).to(device)
        experts[expert] = prepare_for_training(model).eval().requires_grad_(False)
        if device == "cuda":
            model.to(torch.bfloat16)
    shelves = fill_shelves(kind, frozen.vae, frozen.clip, args.samples, device, batch=4 if args.steps else 32)
    shelves = [s for s in shelves if s.latents.shape[2] == 5]
    sizes = [len(s.scenes) for s in shelves]
    begun, paths = time.monotonic(), [[] for _ in shelves]
    while time.monotonic() - begun < args.seconds / 2:
        which = random.choices(range(len(shelves)), sizes)[0]
        new = teacher_paths(kind, experts, frozen, shelves[which], args.paths, args.teacher_steps)
        paths[which].append(new)
        if args.steps and sum(map(len, paths)) > 1:
            break
    paths = [group for group in paths if group]
    print(f"lightning {kind.name}: {sum(len(p.end) for g in paths for p in g)} paths", flush=True)
    (args.weights / "lightning").mkdir(parents=True, exist_ok=True)
    for expert in kind.experts:
        budget = Budget(args.seconds / 2 / len(kind.experts), args.steps)
        pairs, losses = train_expert(kind, expert, experts[expert], paths, budget, args.rate, args.batch)
        path = args.weights / "lightning" / lora_file_name(kind, expert)
        lora_file.save(path, experts[expert], pairs, alpha=float(lora_file.RANK))
        print(
            f"lightning {path.name}: {budget.step} steps, loss {losses[0]:.4f} -> {losses[-1]:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
