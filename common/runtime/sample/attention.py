"""Attention in pieces: exact, by an online softmax over pieces of keys, for devices that get long ones wrong.

Apple's GPUs return wrong numbers, without an error, for attention of more than some billions of scores (batch x heads
x queries x keys; ComfyUI #14837, and MPSGraph's own from about 15,000 tokens on), and keep all scores in memory. Here
no product has more than `memory.SCORES` of them, and softmax and sums are in float32 whatever the inputs are.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from common.memory import SCORES


class InPieces(TorchFunctionMode):
    """In it, `scaled_dot_product_attention` of more than `limit` scores goes in pieces of at most `piece` scores.

    Every model is met there: transformers, VAE, CLIP and text encoder all call this one function.
    """

    def __init__(self, limit: int = SCORES, piece: int = SCORES) -> None:
        super().__init__()
        self.limit, self.piece = limit, piece
        self.calls = 0
        """How many went in pieces."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:  # fmt: skip
        if func is functional.scaled_dot_product_attention:
            return self._attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _attention(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        if dropout_p or elements(query, key) <= self.limit:
            return functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        self.calls += 1
        if enable_gqa:
            key, value = (x.repeat_interleave(query.shape[-3] // x.shape[-3], -3) for x in (key, value))
        return attend(query, key, value, attn_mask, is_causal=is_causal, scale=scale, piece=self.piece)


def elements(query: Tensor, key: Tensor) -> int:
    """Scores of an attention: batch x heads x queries x keys."""
    return math.prod(query.shape[:-1]) * key.shape[-2]


def attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, *,
    is_causal: bool = False, scale: float | None = None, piece: int = SCORES,
) -> Tensor:  # fmt: skip
    """What `scaled_dot_product_attention` gives [..., queries, dim], with at most `piece` scores at a time.

    `mask` is True where a query sees a key, or is added to the scores. A query that sees nothing gives zeros.
    """
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    queries, keys = _steps(query, key, piece)
    made = torch.empty(*query.shape[:-1], value.shape[-1], dtype=query.dtype, device=query.device)
    for start in range(0, query.shape[-2], queries):
        rows = slice(start, min(start + queries, query.shape[-2]))
        # float32 from the scores on: in bf16 they lose up to 2.4% on a Mac at 14,000 tokens (pytorch #190791).
        asked = query[..., rows, :].float() * factor
        highest = asked.new_full((*asked.shape[:-1], 1), -torch.inf)
        total, out = torch.zeros_like(highest), asked.new_zeros(*asked.shape[:-1], value.shape[-1])
        for first in range(0, key.shape[-2], keys):
            columns = slice(first, min(first + keys, key.shape[-2]))
            scores = asked @ key[..., columns, :].float().transpose(-1, -2)
            _hide(scores, mask, is_causal, rows, columns)
            before, highest = highest, torch.maximum(highest, scores.amax(-1, keepdim=True))
            shift = highest.masked_fill(highest == -torch.inf, 0)  # of a query that has seen nothing yet
            weights, fade = scores.sub_(shift).exp_(), (before - shift).exp_()
            total.mul_(fade).add_(weights.sum(-1, keepdim=True))
            out.mul_(fade).add_(weights @ value[..., columns, :].float())
            del scores, weights  # or two of them are there while the next is made
        made[..., rows, :] = (out / total.masked_fill(total == 0, 1)).to(made.dtype)
    return made


def _steps(query: Tensor, key: Tensor, piece: int) -> tuple[int, int]:
    """How many queries and keys go together: a square, or longer where one side is short."""
    each = max(1, piece // max(1, math.prod(query.shape[:-2])))
    keys = min(key.shape[-2], math.isqrt(each))
    queries = min(query.shape[-2], each // max(1, keys))
    return max(1, queries), max(1, min(key.shape[-2], each // max(1, queries)))


def _hide(scores: Tensor, mask: Tensor | None, is_causal: bool, rows: slice, columns: slice) -> None:
    if mask is not None:
        part = mask[
            ..., rows if mask.shape[-2] > 1 else slice(None), columns if mask.shape[-1] > 1 else slice(None)
        ]
        if part.dtype == torch.bool:
            scores.masked_fill_(~part, -torch.inf)
        else:
            scores.add_(part)
    if is_causal:
        seen = torch.arange(rows.start, rows.stop, device=scores.device)[:, None]
        scores.masked_fill_(
            torch.arange(columns.start, columns.stop, device=scores.device) > seen, -torch.inf
        )


@contextmanager
def compiled_flex(device: str) -> Iterator[None]:
    """On CUDA, torch's flex attention is compiled in it: as it is, it makes all scores at once.

    Compiled by itself, not with the blocks around it: those would be compiled anew for LoRAs and offloaded blocks.
    Its code is made for one size, of which torch keeps eight and then goes back to all scores, without a word.
    """
    if device != "cuda":
        yield
        return
    module: Any = importlib.import_module("torch.nn.attention.flex_attention")
    dynamo: Any = importlib.import_module("torch._dynamo")
    plain = module.flex_attention
    module.flex_attention = _compiled()
    try:
        with dynamo.config.patch(recompile_limit=64):
            yield
    finally:
        module.flex_attention = plain


@cache
def _compiled() -> Callable[..., Any]:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=False)
