"""A video's attention to itself by each kernel that is installed: milliseconds, and how far from full precision."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from bench.gpu.clock import timed
from common.runtime.fast import attention, integers

HEADS, DIM = 40, 128
TOKENS = {4096: 3, 32_760: HEADS, 75_600: HEADS}
"""Of a small video for exactness, of 480p and of 720p with 81 frames; and for how many heads."""
EXACTLY = 4096
"""How many tokens are computed in float32 as well, and by what stands for the 8-bit kernels on a CPU."""


def measure(tokens: dict[int, int] = TOKENS, device: str = "cuda") -> Iterator[dict[str, Any]]:
    """A row for each length and kernel; of the longer ones for bf16's distance, of the first for full precision's."""
    for count, heads in tokens.items():
        given = _inputs(count, heads, device)
        wanted: Tensor | None = None
        for name, kernel in _kernels(count, device).items():
            row: dict[str, Any] = {"way": name, "tokens": count, "heads": heads}
            try:
                kernel(*given)
                each = [timed(lambda kernel=kernel, given=given: kernel(*given)) for _ in range(5)]
                made, row["ms"] = (
                    each[-1][1],
                    round(1000 * statistics.median(seconds for seconds, _ in each), 2),
                )
                wanted = made.float() if wanted is None else wanted
                row["off"] = round(float((made.float() - wanted).norm() / wanted.norm()), 5)
            except Exception as error:
                row["failed"] = f"{type(error).__name__}: {error}"[:300]
            print(json.dumps(row), flush=True)
            yield row


def _inputs(count: int, heads: int, device: str) -> tuple[Any, ...]:
    """What an `attention.Rounded` takes; some channels stand out, and keys share a mean."""
    one = torch.Generator(device).manual_seed(4)
    q, k, v = (torch.randn(1, count, heads, DIM, generator=one, device=device) for _ in range(3))
    k[..., :3] *= 4
    k += torch.randn(1, 1, heads, DIM, generator=one, device=device)
    # As an RMSNorm bounds them: all heads together.
    most = (q.norm(dim=-1).amax() * heads**0.5, k.norm(dim=-1).amax() * heads**0.5)
    turn = attention.rotation(DIM).to(device, torch.bfloat16)
    return *(x.to(torch.bfloat16) for x in (q, k, v)), turn, most


def _kernels(count: int, device: str) -> dict[str, Callable[..., Tensor]]:
    """The first is what the others are compared with."""

    def plain(*given: Any) -> Tensor:
        return attention.plain(*given[:3])

    def whole(*given: Any) -> Tensor:
        return attention.plain(*(x.float() for x in given[:3]))

    found: dict[str, Callable[..., Tensor]] = {"float32": whole} if count <= EXACTLY else {}
    found["torch, bf16"] = plain
    capability = torch.cuda.get_device_capability() if device == "cuda" else (0, 0)
    if attention.has_fa3(capability):
        exact, rounded = attention.fa3()
        found |= {"fa3, bf16": lambda *given: exact(*given[:3]), "fa3, 8 bits": rounded}
    if integers.may_work(None):
        found["integers"] = integers.kernel(least=capability)
    if count <= EXACTLY:
        found |= {"8 bits, emulated": attention.emulated_in_8_bits, "integers, emulated": integers.emulated}
    return found
