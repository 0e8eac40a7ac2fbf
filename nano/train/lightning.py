"""Distils 4-step LoRAs: `python -m nano.train.lightning --kind dense --weights nano/weights --seconds 90`."""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nano.assemble import lora_file_name
from nano.kinds import Kind, kind_named
from nano.train import lora_file
from nano.train.conditions import Shelf, fill_shelves
from nano.train.fast_blocks import prepare_for_training
from nano.train.flow import FAST, noise_range, quality, velocity
from nano.train.sampling import sample, scheduler
from nano.train.schedule import Budget, learning_rate
from nano.train.steps import Batch, GraphedStep, Master
from nano.train.texts import embed, negative_ids, tokens
from nano.train.transformer import Frozen, load_transformer


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


def add_lora(transformer: Any, rank: int, start: dict[str, tuple[Tensor, Tensor]]) -> dict[str, LoraLinear]:
    """Puts a LoRA on every layer that a Lightning file changes; `start` holds (down, up) of an earlier one."""
    added: dict[str, LoraLinear] = {}
    for name in lora_file.target_layers(transformer):
        parent, _, leaf = name.rpartition(".")
        holder = transformer.get_submodule(parent)
        wrapped = LoraLinear(getattr(holder, leaf), rank)
        if name in start:
            down, up = start[name]  # of the same or a lower rank; what is above adds nothing yet
            wrapped.down.data[: len(down)] = down
            wrapped.up.data[:, : len(down)] = up
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


@torch.no_grad()
def own_paths(kind: Kind, experts: dict[str, Any], paths: Paths) -> Paths:
    """The same noises as the student itself takes them through the four steps; the end stays the teacher's."""
    shelf = Shelf(paths.shelf.scenes, paths.end, paths.shelf.weight, paths.shelf.extra)
    low = experts.get("transformer_2", experts["transformer"])
    floor = float(kind.index.get("boundary_ratio", 0.0)) * 1000

    def predict(latents: Tensor, t: Tensor, conditional: bool) -> Tensor:
        del conditional
        model = experts["transformer"] if float(t) >= floor else low
        return velocity(model, kind, shelf, latents, (t.float() / 1000).expand(len(latents)), paths.text)

    _, states = sample(predict, paths.states[:, 0], FAST.flow_shift, FAST.num_inference_steps, 1.0)
    return Paths(paths.shelf, paths.text, torch.stack([state for _, state in states], 1), paths.end)


class Student:
    """One expert with the LoRA that it learns, over any number of rounds."""

    def __init__(self, kind: Kind, expert: str, model: Any, rate: float, start: dict[str, Any]) -> None:
        self.kind, self.expert, self.model, self.rate = kind, expert, model, rate
        self.layers = add_lora(model, lora_file.RANK, start)
        self.device = next(model.parameters()).device
        self.master = Master(model, rate, self.device.type, decay=0.998)
        self.losses: list[float] = []
        self.steps = 0

    def learn_from(self, paths: list[list[Paths]], budget: Budget, batch: int) -> None:
        """From each of its noise levels the student aims straight at the teacher's end."""
        kind, model, master, device = self.kind, self.model, self.master, self.device
        fast = scheduler(FAST.flow_shift)
        fast.set_timesteps(FAST.num_inference_steps, device=device)
        low, high = noise_range(kind, self.expert)
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
        every = 100 if device.type == "cuda" else 10
        for fraction in budget:
            master.rate.fill_(learning_rate(self.rate, budget.step, fraction, warmup=50))
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
            if budget.step % every == 0:
                self.losses.append(loss.item())
                if len(self.losses) % 5 == 1:
                    text = f"step {budget.step} {budget.elapsed:.0f}s loss {loss.item():.4f}"
                    print(f"lightning {kind.name}/{self.expert} {text}", flush=True)
        self.steps += budget.step
        with torch.no_grad():
            for live, weight, averaged in zip(master.live, master.weights, master.averaged, strict=True):
                weight.copy_(averaged)
                live.copy_(averaged)

    def save(self, path: Path, rank: int) -> None:
        """Writes the averaged LoRA as a Lightning file of at most that rank."""
        learned = dict(zip(self.master.names, self.master.averaged, strict=True))
        pairs = {name: (learned[f"{name}.down"], learned[f"{name}.up"]) for name in self.layers}
        lora_file.save(path, self.model, pairs, rank)
        text = f"{self.steps} steps, loss {self.losses[0]:.4f} -> {self.losses[-1]:.4f}"
        print(f"lightning {path.name}: {text}", flush=True)


def distil(
    kind: Kind,
    experts: dict[str, Any],
    students: list[Student],
    paths: list[list[Paths]],
    seconds: float,
    steps: int | None,
    batch: int,
) -> Iterator[None]:
    """First where the teacher was, then also where the student itself comes by: small errors must not add up.

    Yields after each of the two rounds; `steps` counts those of one student in one round.
    """
    for own in (False, True):
        if own:
            paths = [group + [own_paths(kind, experts, p) for p in group] for group in paths]
        for student in students:
            student.learn_from(paths, Budget(seconds / 2 / len(students), steps), batch)
        yield


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
    parser.add_argument("--rank", type=int, default=lora_file.RANK, help="of the files; trained at 8 and cut")
    parser.add_argument("--resume", action="store_true", help="go on from the files that are there")
    parser.add_argument(
        "--bf16", action="store_true", help="on a CPU that multiplies bfloat16; a GPU always does"
    )
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
        if device == "cuda" or args.bf16:
            model.to(torch.bfloat16)
    shelves = fill_shelves(
        kind, frozen.vae, frozen.sees, args.samples, device, batch=32 if device == "cuda" else 4
    )
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
    folder = args.weights / "lightning"
    folder.mkdir(parents=True, exist_ok=True)
    students: list[tuple[Path, Student]] = []
    for expert, model in experts.items():
        path = folder / lora_file_name(kind, expert)
        start = lora_file.read(path, model) if args.resume and path.exists() else {}
        students.append((path, Student(kind, expert, model, args.rate * (0.5 if start else 1.0), start)))
    for _ in distil(kind, experts, [s for _, s in students], paths, args.seconds / 2, args.steps, args.batch):
        for path, student in students:
            student.save(path, args.rank)


if __name__ == "__main__":
    main()
