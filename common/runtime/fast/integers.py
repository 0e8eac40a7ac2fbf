"""Attention in 8-bit integers by `comfy-kitchen`, over query, key and value [batch, tokens, heads, dim].

It is made for sm_120, Blackwell's smaller cards, of which ZeroGPU's is one, and rotates query and key by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from common.runtime.fast.attention import Rounded, plain, rotation

KITCHEN = "comfy_kitchen"
BLACKWELL = (12, 0)
LARGEST = 127
NEAR = 0.1
"""Of what it gives: 0.02 was measured, and what is wrong is 1 away."""
QUERIES, KEYS = 4, 32
"""Neighbours that share a scale."""

log = logging.getLogger(__name__)


def may_work(capability: tuple[int, int] | None) -> bool:
    """Whether it is there, on a card that has it or is not known yet; it is not imported for that."""
    return (capability is None or capability >= BLACKWELL) and importlib.util.find_spec(KITCHEN) is not None


@cache
def works(least: tuple[int, int] = BLACKWELL) -> bool:
    """Whether the card at work has at least this capability, and the kernel gives there what it should."""
    return torch.cuda.is_available() and torch.cuda.get_device_capability() >= least and right("cuda")


def right(device: str) -> bool:
    """Whether it runs on a device, and is near PyTorch's own there; the log says why not."""
    one = torch.Generator(device).manual_seed(0)
    q, k, v = (torch.randn(1, 256, 2, 128, generator=one, device=device).bfloat16() for _ in range(3))
    try:
        wanted = plain(q, k, v)
        off = float((_by_kitchen(q, k, v) - wanted).norm() / wanted.norm())
        if off < NEAR:
            return True
        log.warning("comfy-kitchen's attention is left out: %.2f from PyTorch's own on this card", off)
    except Exception as error:  # a driver that is too old, a file that is missing: there is PyTorch's own
        log.warning("comfy-kitchen's attention is left out: %s: %s", type(error).__name__, error)
    return False


def kernel(least: tuple[int, int] = BLACKWELL) -> Rounded:
    """Where the card at work has none, PyTorch's own: which card ZeroGPU lends is not known before a worker works."""

    def rounded(query: Tensor, key: Tensor, value: Tensor, _turn: Any = None, _most: Any = None) -> Tensor:
        return (_by_kitchen if works(least) else plain)(query, key, value)

    return rounded


def _by_kitchen(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    q, k, v = (x.transpose(1, 2) for x in (query, key, value))
    return importlib.import_module(KITCHEN).int8_attention(q, k, v).transpose(1, 2)


def emulated(query: Tensor, key: Tensor, value: Tensor, _turn: Any = None, _most: Any = None) -> Tensor:
    """What `kernel` gives, or a little less: all scores at once, in float32, and no key is taken off the others."""
    turn = rotation(query.shape[-1]).to(query.device)
    q = _as_integers(query.float() @ turn, QUERIES)
    k = _as_integers(key.float() @ turn, KEYS)
    scale = value.float().abs().amax(1, keepdim=True).clamp_min(1e-12) / LARGEST
    v = (value / scale).round() * scale
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    weights = (scores - scores.amax(-1, keepdim=True)).exp()
    total = weights.sum(-1, keepdim=True)
    return torch.einsum("bhqk,bkhd->bqhd", (weights * 255).round() / 255 / total, v).to(query.dtype)


def _as_integers(x: Tensor, share: int) -> Tensor:
    """As it is after 8 bits, with a scale for each head of so many neighbours."""
    groups = functional.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % share)).unflatten(1, (-1, share))
    scale = groups.abs().amax((2, 4), keepdim=True).clamp_min(1e-12) / LARGEST
    return ((groups / scale).round() * scale).flatten(1, 2)[:, : x.shape[1]]
