"""Attention for training: the 480 padding tokens of a prompt count as one token with a weight."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nano.texts import LENGTH

CONTEXT = 512  # what the pipelines pad every prompt to


class ShortTextAttention:
    """WanAttnProcessor for a text of LENGTH tokens and one more that stands for all further padding.

    All padding tokens are zeros, so they give the same key and value: one of them with log(count) added to
    its score is exactly the sum over all. Sixteen times fewer keys.
    """

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        rotary_emb: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        picture = None
        if attn.add_k_proj is not None and encoder_hidden_states is not None:
            picture, context = context[:, : -LENGTH - 1], context[:, -LENGTH - 1 :]

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)

        query = heads(attn.norm_q(attn.to_q(hidden_states)))
        key = heads(attn.norm_k(attn.to_k(context)))
        value = heads(attn.to_v(context))
        bias = None
        if encoder_hidden_states is None:
            assert rotary_emb is not None
            query, key = _turn(query, *rotary_emb), _turn(key, *rotary_emb)
        else:
            bias = query.new_zeros(LENGTH + 1)
            bias[-1] = math.log(CONTEXT - LENGTH)
            bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], LENGTH + 1)
        value = value.to(query.dtype)
        found = F.scaled_dot_product_attention(query, key.to(query.dtype), value, attn_mask=bias)
        if picture is not None:
            key = heads(attn.norm_added_k(attn.add_k_proj(picture))).to(query.dtype)
            found = found + F.scaled_dot_product_attention(
                query, key, heads(attn.add_v_proj(picture)).to(query.dtype)
            )
        return attn.to_out[0](found.transpose(1, 2).flatten(2))


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # The tables are [1, tokens, 1, dim] with each entry twice.
    cos, sin = cos[..., 0::2].transpose(1, 2), sin[..., 1::2].transpose(1, 2)
    even, odd = x[..., 0::2].float(), x[..., 1::2].float()
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2).to(x.dtype)


def short_context(text: Tensor) -> Tensor:
    """The embedded text [n, LENGTH, d] with the token that stands for the rest."""
    return F.pad(text, (0, 0, 0, 1))


def prepare_for_training(transformer: Any, compile_blocks: bool) -> Any:
    """Swaps the attention in, and keeps what carries the noise through in fp32."""
    for module in transformer.modules():
        if type(module).__name__ == "WanAttention":
            module.processor = ShortTextAttention()
    for name in ("patch_embedding", "vace_patch_embedding", "proj_out"):
        layer = getattr(transformer, name, None)
        if layer is not None:
            layer.forward = _in_fp32(layer)
    if compile_blocks:
        torch._dynamo.config.recompile_limit = 64
        blocks = [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]
        for block in blocks:
            block.compile(dynamic=True)
    return transformer


def _in_fp32(layer: Any) -> Any:
    forward = layer.forward

    def run(x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return forward(x.float())

    return run
