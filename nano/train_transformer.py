"""Trains one transformer: `python -m nano.train_transformer --kind dense --weights nano/weights --seconds 300`."""

from __future__ import annotations

import argparse
import math
import random
import time
from pathlib import Path
from typing import Any

import torch

from nano.average import Average, saved_in_half
from nano.conditions import Shelf, fill_shelves
from nano.fast_attention import prepare_for_training
from nano.flow import flow_loss, noise_range
from nano.inherit import inherit
from nano.kinds import KINDS, Kind, kind_named
from nano.parts import new_transformer
from nano.schedule import Budget, learning_rate
from nano.texts import embed, tokens
from nano.train_vae import load as load_vae


class Frozen:
    """The parts that don't learn here: VAE, text encoder and, where the kind has one, CLIP."""

    def __init__(self, kind: Kind, weights: Path, device: str) -> None:
        from transformers import CLIPVisionModel, UMT5EncoderModel

        self.vae = load_vae(kind.vae, str(weights / kind.vae), device).eval().requires_grad_(False)
        text = UMT5EncoderModel.from_pretrained(weights / "text_encoder", dtype=torch.float32)
        self.text: Any = text.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType]
        self.clip: Any = None
        if kind.clip:
            clip = CLIPVisionModel.from_pretrained(weights / "clip", dtype=torch.float32)
            self.clip = clip.to(device).eval().requires_grad_(False)  # pyright: ignore[reportArgumentType]


def load_transformer(kind: Kind, expert: str, source: Path | None) -> Any:
    """A new transformer, started from the checkpoint folder `source` as far as that fits."""
    import diffusers

    model = new_transformer(kind, expert)
    torch.nn.init.zeros_(model.proj_out.weight)
    if source is not None:
        name = diffusers.WanTransformer3DModel.load_config(source)["_class_name"]
        parent = getattr(diffusers, name).from_pretrained(source, dtype=torch.float32)
        print(f"{kind.name} starts from {source.parent.name}: {inherit(model, parent)} tensors", flush=True)
        if parent.config.get("vace_layers") is None and kind.name == "vace":
            for block in model.vace_blocks:
                torch.nn.init.zeros_(block.proj_out.weight)
                torch.nn.init.zeros_(block.proj_out.bias)
    return model


def pick_batch(shelves: list[Shelf], batch: int) -> Shelf:
    """Samples from one layout, chosen by how many there are; about the same number of tokens each time."""
    sizes = [len(shelf.scenes) for shelf in shelves]
    shelf = random.choices(shelves, sizes)[0]
    tokens_now = shelf.latents[0, 0].numel()
    count = max(2, min(int(batch * 1280 / tokens_now), 2 * batch))
    index = torch.randint(len(shelf.scenes), (count,), device=shelf.latents.device)
    return shelf.take(index)


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
    device: str = "cpu",
) -> list[float]:
    """The loop; leaves the averaged weights in `model` and returns losses smoothed over 100 steps."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.AdamW(
        parameters, lr=rate, betas=(0.9, 0.98), weight_decay=1e-3, fused=device == "cuda"
    )
    average = Average(parameters)
    low, high = noise_range(kind, expert)
    vague = 0.25 if kind.name == "vace" else 0.06
    running, losses, saved = torch.zeros((), device=device), [], time.monotonic()
    for fraction in budget:
        for group in adam.param_groups:
            group["lr"] = learning_rate(rate, budget.step, fraction, warmup=300)
        shelf = pick_batch(shelves, batch)
        with torch.no_grad():
            ids, _ = tokens(shelf.scenes, blank=0.12, drop=vague, vague=vague)
            text = embed(frozen.text, ids)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = flow_loss(model, kind, shelf, text, low, high)
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()
        average.update()
        running += loss.detach()
        every = 100 if device == "cuda" else 5
        if (budget.step + 1) % every == 0:
            losses.append(running.item() / every)
            running.zero_()
            if len(losses) % 4 == 1 or device == "cpu":
                print(
                    f"{kind.name}/{expert} step {budget.step + 1} {budget.elapsed:.0f}s loss {losses[-1]:.4f}",
                    flush=True,
                )
            if math.isnan(losses[-1]):
                raise FloatingPointError(f"{kind.name}/{expert}: the loss is NaN at step {budget.step}")
        if save_to is not None and time.monotonic() - saved > 60:
            saved = time.monotonic()
            average.swap()
            saved_in_half(model, save_to)
            average.swap()
    average.swap()
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--expert", choices=("transformer", "transformer_2"), default="transformer")
    parser.add_argument("--weights", type=Path, required=True, help="where VAE and text encoder are")
    parser.add_argument("--init", type=Path, help="a transformer folder to start from or to go on with")
    parser.add_argument("--out", type=Path, help="default: the weights folder")
    parser.add_argument("--seconds", type=float, default=300, help="of training, after the cache is filled")
    parser.add_argument("--until", type=float, help="stop at this Unix time instead, whatever came before")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--samples", type=int, default=24_000)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(args.seed)
    random.seed(args.seed)
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True

    kind = kind_named(args.kind)
    begun = time.monotonic()
    frozen = Frozen(kind, args.weights, device)
    model = load_transformer(kind, args.expert, args.init).to(device)
    prepare_for_training(model, args.compile)
    shelves = fill_shelves(
        kind, frozen.vae, frozen.clip, args.samples, device, batch=32 if device == "cuda" else 4
    )
    count = sum(len(shelf.scenes) for shelf in shelves)
    print(f"{kind.name}: {count} samples after {time.monotonic() - begun:.0f}s", flush=True)
    seconds = args.until - time.time() if args.until else args.seconds
    target = (args.out or args.weights) / kind.name / args.expert
    budget = Budget(seconds, args.steps)
    losses = train(
        kind,
        args.expert,
        model,
        frozen,
        shelves,
        budget,
        batch=args.batch,
        rate=args.rate,
        save_to=target,
        device=device,
    )
    saved_in_half(model, target)
    if losses:
        print(
            f"{kind.name}/{args.expert}: {budget.step} steps, loss {losses[0]:.4f} -> {losses[-1]:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
