"""Attention by kernels that PyTorch has not, over query, key and value [batch, tokens, heads, dim].

FlashAttention-3 (`fa3-fwd`) knows Hopper alone: on its 8 bits see `in_8_bits`. Whoever has no kernel takes `plain`.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
Rounded = Callable[[Tensor, Tensor, Tensor, Tensor, tuple[Tensor, Tensor]], Tensor]
"""Attention in 8 bits: the fourth is what query and key are turned by, [dim, dim] (see `rotation`), the last how long
a query and a key may be at the most, one number each (see `longest`)."""

FA3 = "fa3_fwd_interface"
HOPPER = (9, 0)
LARGEST = torch.finfo(torch.float8_e4m3fn).max
P_SCALE = 256.0
"""FlashAttention-3 holds a softmax's numerator, which is at most 1, as so many times itself in 8 bits."""


def has_fa3(capability: tuple[int, int] | None) -> bool:
    """Whether FlashAttention-3 runs here; it is not imported for that."""
    return capability == HOPPER and importlib.util.find_spec(FA3) is not None


def compiles(capability: tuple[int, int] | None) -> bool:
    """Whether blocks are compiled here: on Hopper, where that was measured, and where Triton finds a C compiler."""
    compilers = (os.environ.get("CC") or "gcc", "gcc", "clang")
    return (
        capability == HOPPER
        and importlib.util.find_spec("triton") is not None
        and any(shutil.which(c) for c in compilers)
    )


def plain(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """PyTorch's own."""
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)


def fa3() -> tuple[Attention, Rounded]:
    """FlashAttention-3 in the format of its inputs, bf16 or fp16, and in 8 bits, from that format and back.

    It is imported here: a compiler that follows the call must not meet an import.
    """
    kernel: Callable[..., Any] = importlib.import_module(FA3).flash_attn_func

    def exact(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return _first(kernel(query, key, value))

    def rounded(
        query: Tensor, key: Tensor, value: Tensor, turn: Tensor, most: tuple[Tensor, Tensor]
    ) -> Tensor:
        (q, k, v), (of_q, of_k, of_v) = in_8_bits(query, key, value, turn, most)
        return _first(kernel(q, k, v, q_descale=of_q, k_descale=of_k, v_descale=of_v)).to(query.dtype)

    return exact, rounded


def longest(norm: Any) -> Tensor:
    """No part of what an RMSNorm gives is longer: before its weight the mean of the squares is one."""
    return norm.weight.float().abs().amax() * math.sqrt(norm.weight.numel())


def in_8_bits(
    query: Tensor, key: Tensor, value: Tensor, turn: Tensor, most: tuple[Tensor, Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """The three in 8 bits, and what each is to be multiplied with, [batch, heads].

    A mean that all keys have in common changes no softmax, and a rotation of query and key no product; without the
    one and with the other no channel stands out, and less is lost (SageAttention, QuaRot). No number of a vector is
    larger than the vector is long: so their scales are known without a look at them, and as 8 bits have an exponent,
    wide ones lose nothing.
    """
    of_q, of_k = most[0] / LARGEST, 2 * most[1] / LARGEST  # a key without the mean is at most twice as long
    turned = key @ turn
    eight = [query @ turn / of_q, (turned - turned.mean(1, keepdim=True)) / of_k]
    v, of_v = _rounded(value)
    scales = [scale.expand(of_v.shape).contiguous() for scale in (of_q, of_k)]
    return [*(x.to(torch.float8_e4m3fn) for x in eight), v], [*scales, of_v]


def emulated_in_8_bits(
    query: Tensor, key: Tensor, value: Tensor, turn: Tensor, most: tuple[Tensor, Tensor]
) -> Tensor:
    """What `fa3` gives in 8 bits, where there is no such kernel: all scores at once, in float32."""
    eight, scales = in_8_bits(query, key, value, turn, most)
    q, k, v = (x.float() * s[:, None, :, None] for x, s in zip(eight, scales, strict=True))
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    total = weights.sum(-1, keepdim=True)
    weights = (weights * P_SCALE).to(torch.float8_e4m3fn).float() / P_SCALE
    return torch.einsum("bhqk,bkhd->bqhd", weights / total, v).to(query.dtype)


def _rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    scale = (x.abs().amax((1, 3)).float() / LARGEST).clamp_min(1e-12)
    return (x * (1 / scale)[:, None, :, None]).to(torch.float8_e4m3fn), scale


def rotation(size: int) -> Tensor:
    """Hadamard's matrix for a power of two, else one that turns nothing."""
    made = torch.ones(1, 1)
    while len(made) < size:
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)])
    return made / math.sqrt(size) if len(made) == size else torch.eye(size)


def _first(made: Any) -> Tensor:
    return made[0] if isinstance(made, tuple) else made
