"""One training step as a CUDA graph per sample layout: nano's kernels are shorter than their launches."""
# pyright: reportPrivateImportUsage=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from nano.train.conditions import Shelf
from nano.train.texts import embed, negative_ids, tokens
from nano.train.world import Scenes

AHEAD = 24  # batches whose captions are encoded at once


class Master:
    """fp32 weights behind a bf16 model: the model computes, these learn and are averaged."""

    def __init__(self, model: nn.Module, rate: float, device: str, decay: float = 0.9993) -> None:
        self.device, self.decay = device, decay
        self.names = [name for name, p in model.named_parameters() if p.requires_grad]
        self.live = [p for p in model.parameters() if p.requires_grad]
        self.weights = [p.detach().float().clone() for p in self.live]
        self.fixed = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
        if device == "cuda":
            model.to(torch.bfloat16)
        self.gradients = [torch.zeros_like(w) for w in self.weights]
        for weight, gradient in zip(self.weights, self.gradients, strict=True):
            weight.grad = gradient
        self.averaged = [w.clone() for w in self.weights]
        self.rate = torch.tensor(rate, device=device)
        cuda = device == "cuda"
        self.adam = torch.optim.AdamW(
            self.weights, lr=self.rate, betas=(0.9, 0.98), weight_decay=1e-3, capturable=cuda, fused=cuda
        )
        self.step = 0

    def learn(self, loss: Tensor) -> None:
        """Gradients of the model into the fp32 weights, and those back into the model."""
        gradients = torch.autograd.grad(loss, self.live, allow_unused=True)
        with torch.no_grad():
            for kept, new in zip(self.gradients, gradients, strict=True):
                if new is not None:
                    kept.copy_(new)
            norm = torch.stack(torch._foreach_norm(self.gradients)).norm()
            scale = (1.0 / norm.clamp(min=1.0)).nan_to_num(0.0, 0.0, 0.0)
            torch._foreach_mul_(self.gradients, scale)
            self.adam.step()
            torch._foreach_copy_(self.live, self.weights)

    @torch.no_grad()
    def average(self) -> None:
        self.step += 1
        decay = min(self.decay, (self.step + 1) / (self.step + 10))
        torch._foreach_lerp_(self.averaged, self.weights, 1 - decay)

    @torch.no_grad()
    def result(self) -> dict[str, Tensor]:
        """The averaged weights by name, in fp16 on the CPU, with those that did not learn."""
        named = self.fixed | dict(zip(self.names, self.averaged, strict=True))
        return {name: weight.to("cpu", torch.float16) for name, weight in named.items()}


@dataclass
class Batch:
    """A batch that a step learns from."""

    shelf: Shelf
    text: Tensor


class Feeder:
    """Batches of one shelf, with captions encoded many batches ahead."""

    def __init__(
        self,
        shelf: Shelf,
        text_encoder: Any,
        batch: int,
        vague: float,
        blank: float = 0.12,
        chinese: float = 0.0,
    ) -> None:
        self.shelf, self.text_encoder, self.vague = shelf, text_encoder, vague
        self.blank, self.chinese = blank, chinese
        per_clip = shelf.latents[0, 0].numel()
        self.count = max(2, min(int(batch * 1280 / per_clip), 2 * batch))
        self.ready: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def next(self) -> Batch:
        if not self.ready:
            device = self.shelf.latents.device
            pick = torch.randint(len(self.shelf.scenes), (AHEAD * self.count,), device=device)
            ids, _ = tokens(self.shelf.scenes[pick], blank=self.blank, drop=self.vague, vague=self.vague)
            ours = torch.rand(len(ids), 1, device=device) < self.chinese
            ids = torch.where(ours, negative_ids(len(ids), device), ids)
            text = torch.cat([embed(self.text_encoder, part) for part in ids.split(4096)])
            self.ready = list(zip(pick.split(self.count), text.split(self.count), strict=True))
        index, text = self.ready.pop()
        return Batch(self.shelf.take(index), text)


class GraphedStep:
    """Replays `learn(batch)` with the batch copied into fixed places; runs it plainly where there is no GPU."""

    def __init__(self, learn: Callable[[Batch], Tensor], device: str) -> None:
        self.learn, self.device = learn, device
        self.place: Batch | None = None
        self.graph: Any = None
        self.loss = torch.zeros((), device=device)

    def __call__(self, batch: Batch) -> Tensor:
        if self.device != "cuda":
            return self.learn(batch).detach()
        if self.place is None:
            self.place = batch
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self.learn(self.place)
            torch.cuda.current_stream().wait_stream(side)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.loss = self.learn(self.place).detach()
            return self.loss
        for kept, new in zip(_tensors(self.place), _tensors(batch), strict=True):
            kept.copy_(new)
        self.graph.replay()
        return self.loss


def _tensors(batch: Batch) -> list[Tensor]:
    scenes = [getattr(batch.shelf.scenes, f.name) for f in fields(Scenes)]
    return [batch.text, batch.shelf.latents, batch.shelf.weight, *batch.shelf.extra.values(), *scenes]
