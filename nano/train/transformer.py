"""Trains transformers: `python -m nano.train.transformer --weights nano/weights --job dense/transformer:300`.

Several jobs run one after the other and share their cached samples; `moe/transformer:120:dense/transformer`
starts from another one's weights.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nano.kinds import Kind, kind_named
from nano.train.conditions import Shelf, fill_shelves
from nano.train.fast_blocks import know_faces, motions, prepare_for_training
from nano.train.flow import flow_loss, noise_range
from nano.train.inherit import inherit
from nano.train.parts import new_transformer, transformer_class
from nano.train.schedule import Budget, learning_rate
from nano.train.steps import Batch, Feeder, GraphedStep, Master
from nano.train.vae import load as load_vae


class Frozen:
    """The parts that don't learn here: VAE, text encoder and, where the kind has one, what it sees or hears with."""

    def __init__(self, kind: Kind, weights: Path, device: str) -> None:
        from transformers import CLIPVisionModel, UMT5EncoderModel, Wav2Vec2Model

        self.vae = load_vae(kind.vae, str(weights / kind.vae), device).eval().requires_grad_(False)
        text = UMT5EncoderModel.from_pretrained(weights / "text_encoder", dtype=torch.float32)
        self.text: Any = text.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType]
        self.sees: Any = None
        if kind.hears:
            ears = Wav2Vec2Model.from_pretrained(weights / "wav2vec2", dtype=torch.float32)
            self.sees = ears.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType]
        if kind.clip:
            clip = CLIPVisionModel.from_pretrained(weights / "clip", dtype=torch.float32)
            self.sees = clip.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType]


def samples_key(kind: Kind) -> str:
    """Kinds with the same key learn from the same cached samples."""
    return {"moe": "dense"}.get(kind.name, kind.name)


def load_transformer(kind: Kind, expert: str, source: Path | None) -> Any:
    """A new transformer, started from the checkpoint folder `source` as far as that fits."""
    model = new_transformer(kind, expert)
    torch.nn.init.zeros_(model.proj_out.weight)
    for listener in getattr(getattr(model, "audio_injector", None), "injector", []):
        torch.nn.init.zeros_(listener.to_out[0].weight)
    for adapter in getattr(model, "face_adapter", []):
        torch.nn.init.zeros_(adapter.to_out.weight)
    if source is not None:
        name = json.loads((source / "config.json").read_text())["_class_name"]
        parent = transformer_class(name).from_pretrained(source, dtype=torch.float32)
        print(f"{kind.name} starts from {source.parent.name}: {inherit(model, parent)} tensors", flush=True)
        if parent.config.get("vace_layers") is None and kind.name == "vace":
            for block in model.vace_blocks:
                torch.nn.init.zeros_(block.proj_out.weight)
                torch.nn.init.zeros_(block.proj_out.bias)
    return model


def train(
    kind: Kind,
    expert: str,
    model: Any,
    frozen: Frozen,
    shelves: list[Shelf],
    budget: Budget,
    *,
    batch: int,
    rate: float,
    save_to: Path | None = None,
    known_faces: bool = False,
    device: str = "cpu",
) -> tuple[dict[str, Tensor], list[float]]:
    """The loop; returns the averaged weights and the losses, each over 100 steps."""
    prepare_for_training(model)
    if known_faces:
        for shelf in shelves:
            shelf.extra["face"] = motions(model, shelf.extra["face"])
        know_faces(model)
    master = Master(model, rate, device)
    low, high = noise_range(kind, expert)
    vague = 0.25 if kind.name == "vace" else 0.06
    # A performance is told by pictures: most of its prompts are empty, or the Studio's own sentence. So is a speech.
    blank, chinese = {"animate": (0.3, 0.4), "s2v": (0.2, 0.3)}.get(kind.name, (0.12, 0.0))

    def learn(now: Batch) -> Tensor:
        loss = flow_loss(model, kind, now.shelf, now.text, low, high)
        master.learn(loss)
        return loss

    feeders = [Feeder(shelf, frozen.text, batch, vague, blank, chinese) for shelf in shelves]
    steps = [GraphedStep(learn, device) for _ in shelves]
    sizes = [len(shelf.scenes) for shelf in shelves]
    every = 100 if device == "cuda" else 5
    running, losses, saved = torch.zeros((), device=device), [], time.monotonic()
    for fraction in budget:
        master.rate.fill_(learning_rate(rate, budget.step, fraction, warmup=300))
        which = random.choices(range(len(shelves)), sizes)[0]
        running += steps[which](feeders[which].next())
        master.average()
        if (budget.step + 1) % every == 0:
            losses.append(running.item() / every)
            running.zero_()
            if math.isnan(losses[-1]):
                raise FloatingPointError(f"{kind.name}/{expert}: the loss is NaN at step {budget.step}")
            if len(losses) % 10 == 1 or device == "cpu":
                text = f"step {budget.step + 1} {budget.elapsed:.0f}s loss {losses[-1]:.4f}"
                print(f"{kind.name}/{expert} {text}", flush=True)
            if save_to is not None and time.monotonic() - saved > 60:
                saved = time.monotonic()
                save_transformer(kind, expert, master.result(), save_to)
    return master.result(), losses


def save_transformer(kind: Kind, expert: str, weights: dict[str, Tensor], folder: Path) -> None:
    """Writes averaged weights as a diffusers transformer folder."""
    model = new_transformer(kind, expert)
    model.load_state_dict(weights)
    model.half().save_pretrained(folder, safe_serialization=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, required=True, help="where VAE and text encoder are")
    parser.add_argument("--out", type=Path, help="default: the weights folder")
    parser.add_argument("--job", nargs="+", required=True, metavar="KIND/EXPERT:SECONDS[:INIT]")
    parser.add_argument("--steps", type=int, help="exactly so many steps a job, instead of seconds")
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument(
        "--known-faces", action="store_true", help="of one job of animate: its motion encoder learns no more"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    out, held = args.out or args.weights, ("", [])
    for job in args.job:
        torch.manual_seed(args.seed)
        random.seed(args.seed)
        name, seconds, *init = job.split(":")
        kind, expert = kind_named(name.split("/")[0]), name.split("/")[1]
        source = out / init[0] if init else None
        begun = time.monotonic()
        frozen = Frozen(kind, args.weights, device)
        sees = samples_key(kind)
        if held[0] != sees:
            at_once = 32 if device == "cuda" else 4
            filled = fill_shelves(kind, frozen.vae, frozen.sees, args.samples, device, batch=at_once)
            held = sees, filled
        model = load_transformer(kind, expert, source if source and source.exists() else None).to(device)
        count = sum(len(shelf.scenes) for shelf in held[1])
        print(f"{name}: {count} samples after {time.monotonic() - begun:.0f}s", flush=True)
        budget = Budget(float(seconds), args.steps)
        target = out / kind.name / expert
        weights, losses = train(
            kind,
            expert,
            model,
            frozen,
            held[1],
            budget,
            batch=args.batch,
            rate=args.rate * (0.6 if source else 1.0),
            save_to=target,
            known_faces=args.known_faces,
            device=device,
        )
        save_transformer(kind, expert, weights, target)
        if losses:
            print(f"{name}: {budget.step} steps, loss {losses[0]:.4f} -> {losses[-1]:.4f}", flush=True)


if __name__ == "__main__":
    main()
