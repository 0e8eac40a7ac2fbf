"""How long the VAEs decode a clip, how near to full precision, and in how much memory."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import full_size
from bench.gpu.clock import timed
from common.catalog import CHECKPOINTS
from common.runtime.model.vae_decode import Decoder

CLIPS = (
    ("wan2.1-t2v-14b", (832, 480, 81)),
    ("wan2.1-t2v-14b", (1280, 720, 81)),
    ("wan2.2-ti2v-5b", (1280, 704, 121)),
)


@dataclass(frozen=True)
class Way:
    """One way to decode; without `ours` it is diffusers' own."""

    name: str
    dtype: torch.dtype
    ours: bool = False
    compiled: bool = False
    chunk: int = 1


WAYS = (
    Way("stock fp32", torch.float32),
    Way("stock bf16", torch.bfloat16),
    Way("fp16", torch.float16, ours=True),
    Way("fp16 compiled", torch.float16, ours=True, compiled=True),
    Way("fp16 compiled, 2 at once", torch.float16, ours=True, compiled=True, chunk=2),
    Way("fp16 compiled, 4 at once", torch.float16, ours=True, compiled=True, chunk=4),
    Way("bf16 compiled", torch.bfloat16, ours=True, compiled=True),
)


def measure() -> Iterator[dict[str, Any]]:
    """A row for each clip and way; the first way of a clip is what the others are compared with."""
    for key, (width, height, frames) in CLIPS:
        row = CHECKPOINTS[key]
        with tempfile.TemporaryDirectory() as root:
            folder = full_size.folder(row, Path(root) / "w")
            torch.manual_seed(0)
            vae = full_size.module(folder / "vae", ["diffusers", "AutoencoderKLWan"], "cuda")
        channels, side = vae.config.z_dim, row.architecture.spatial
        shape = (1, channels, row.law.latent(frames), height // side, width // side)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(1)).cuda()
        first: Tensor | None = None
        for way in WAYS:
            said: dict[str, Any] = {"checkpoint": key, "size": [width, height, frames], "way": way.name}
            try:
                made, said = _once(vae, way, latents, said)
            except Exception as error:
                said["failed"] = f"{type(error).__name__}: {error}"[:300]
            else:
                first = made if first is None else first
                said["db"] = round(_psnr(made, first), 1) if first is not made else None
            print(json.dumps(said), flush=True)
            yield said
            torch.cuda.empty_cache()


def _once(vae: Any, way: Way, latents: Tensor, said: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """The frames as bytes' worth of numbers on the CPU; seconds of the first time and of the best of three more."""
    stock = copy.deepcopy(vae).to(way.dtype)  # there and back it would lose its last bits
    decoder = Decoder(vae, way.dtype, compiled=way.compiled, chunk=way.chunk) if way.ours else None

    def pieces() -> Iterator[Tensor]:
        if decoder is not None:
            yield from decoder(latents)
            return
        yield stock.decode(latents.to(way.dtype), return_dict=False)[0][0].transpose(0, 1)

    def whole() -> Tensor:
        return torch.cat(list(pieces()))

    with torch.no_grad():
        first, made = timed(whole)
        torch.cuda.reset_peak_memory_stats()
        best = min(timed(whole)[0] for _ in range(3))
        said |= {"first_seconds": round(first, 3), "seconds": round(best, 3)}
        said["peak_gb"] = round(torch.cuda.max_memory_allocated() / 1e9, 2)
        found = made.float().cpu()
    return found, said


def _psnr(made: Tensor, wanted: Tensor) -> float:
    return float(10 * torch.log10(4 / (made - wanted).square().mean()))
