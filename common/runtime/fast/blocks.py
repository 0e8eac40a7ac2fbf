"""Blocks of Wan's transformers in a form that compiles well, and compiled: what they compute stays the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers.models.transformers.transformer_wan import WanAttnProcessor
from torch import Tensor

from common.runtime.fast.attention import Attention, Rounded, longest, plain, rotation
from common.runtime.fast.exchange import Exchange

VARIANTS = 64
"""How many forms of a block torch may keep: with and without each LoRA and 8-bit attention, at several sizes."""

BY_ITSELF = torch.empty(0)
"""No rotation, for a kernel that rotates query and key by itself, or need not."""

_processors: WeakKeyDictionary[Any, SelfAttention] = WeakKeyDictionary()


class SelfAttention(WanAttnProcessor):
    """Attention of a video to itself by a kernel of choice; that to the prompt is diffusers' own.

    One for all blocks of a transformer: `in_8_bits` says which of the two kernels they all take.
    """

    def __init__(self, exact: Attention, eight: Rounded | None, turn: Tensor) -> None:
        super().__init__()
        self.exact, self.eight, self.turn = exact, eight, turn
        self.in_8_bits = False
        self.exchange: Exchange | None = None
        """With the other cards, where each has a part of the tokens."""

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None, rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:  # fmt: skip
        if encoder_hidden_states is not None or attention_mask is not None or rotary_emb is None:
            return super().__call__(attn, hidden_states, encoder_hidden_states, attention_mask, rotary_emb)
        if self.exchange is None:
            query, key = attn.norm_q(attn.to_q(hidden_states)), attn.norm_k(attn.to_k(hidden_states))
            value = attn.to_v(hidden_states).unflatten(2, (attn.heads, -1))
            query, key = (turned(x.unflatten(2, (attn.heads, -1)), *rotary_emb) for x in (query, key))
            made = self._attended(attn, query, key, value)
        else:
            made = self._exchanged(self.exchange, attn, hidden_states, rotary_emb)
        made = made.flatten(2, 3).type_as(hidden_states)
        return attn.to_out[1](attn.to_out[0](made))

    def _attended(self, attn: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self.in_8_bits and self.eight is not None:
            return self.eight(query, key, value, self.turn, (longest(attn.norm_q), longest(attn.norm_k)))
        return self.exact(query, key, value)

    def _exchanged(
        self, exchange: Exchange, attn: Any, hidden_states: Tensor, rotary_emb: tuple[Tensor, Tensor]
    ) -> Tensor:
        """The same for this card's tokens: meanwhile it attends with its heads to all tokens.

        What is made travels while the next is made.
        """
        value = exchange.send(attn.to_v(hidden_states).unflatten(2, (attn.heads, -1)))
        query = attn.norm_q(attn.to_q(hidden_states)).unflatten(2, (attn.heads, -1))
        query = exchange.send(turned(query, *rotary_emb))
        key = attn.norm_k(attn.to_k(hidden_states)).unflatten(2, (attn.heads, -1))
        key = exchange.send(turned(key, *rotary_emb))
        value, query, key = (exchange.heads(x) for x in (value, query, key))
        parts = [
            exchange.give_back(self._attended(attn, *three))
            for three in zip(*(exchange.parts(x) for x in (query, key, value)), strict=True)
        ]
        return exchange.tokens(parts, attn.heads)


def turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of pairs of neighbours, [batch, tokens, heads, dim], without writing every other number."""
    even = torch.arange(x.shape[-1], device=x.device) % 2 == 0
    neighbour = x.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    return (x * cos + neighbour * torch.where(even, -sin, sin)).type_as(x)


def gelu(gate: Tensor) -> Tensor:
    """GELU by tanh, as a sigmoid, which is the same: compiled, tanh takes several times as long."""
    x = gate.float()
    return (x * torch.sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))).to(gate.dtype)


def attend(
    transformer: Any, exact: Attention, eight: Rounded | None, turn: Tensor = BY_ITSELF
) -> SelfAttention:
    """Gives every block of a transformer these kernels, and the processor that they share."""
    processor = _processors[transformer] = SelfAttention(exact, eight, turn)
    for block in blocks_of(transformer):
        block.attn1.set_processor(processor)
    return processor


def quicken(transformer: Any, exact: Attention, eight: Rounded | None) -> SelfAttention:
    """The same with a rotation of query and key, and all that is faster once it is compiled."""
    turn = rotation(transformer.config.attention_head_dim).to(transformer.device, transformer.dtype)
    processor = attend(transformer, exact, eight, turn)
    for block in blocks_of(transformer):
        first = block.ffn.net[0]
        if getattr(first, "approximate", "") == "tanh":
            first.gelu = gelu
    return processor


def compiled(transformer: Any) -> None:
    """Each kind of block is compiled when it runs for the first time, once for all of its kind."""
    for block in blocks_of(transformer):
        block.compile(fullgraph=True)


def blocks_of(transformer: Any) -> Iterable[Any]:
    """Its blocks, those of VACE's control branch included."""
    yield from transformer.blocks
    yield from getattr(transformer, "vace_blocks", ())


@contextmanager
def exchanging(transformer: Any) -> Iterator[SelfAttention]:
    """In it a video's attention to itself may be shared with other cards, by whatever kernel it has."""
    own = {block: block.attn1.processor for block in blocks_of(transformer)}
    processor = _processors.get(transformer) or attend(transformer, plain, None)
    try:
        yield processor
    finally:
        processor.exchange = None
        for block, before in own.items():
            block.attn1.set_processor(before)
        if processor not in own.values():
            del _processors[transformer]


def at_step(transformers: Iterable[Any], step: int, steps: int) -> None:
    """Of `steps`, the first and the last are exact: there 8 bits are seen first."""
    for transformer in transformers:
        if transformer in _processors:
            _processors[transformer].in_8_bits = 0 < step < steps - 1


@contextmanager
def many_forms() -> Iterator[None]:
    """In it torch keeps as many compiled forms of a block as there may be; else it would refuse the ninth."""
    from torch import _dynamo as dynamo  # takes seconds, and most never need it

    with dynamo.config.patch(recompile_limit=VARIANTS, accumulated_recompile_limit=8 * VARIANTS):
        yield
