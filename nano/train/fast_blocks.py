"""Wan's transformer for training: the same function in fewer and larger GPU kernels, all in one precision."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nano.train.texts import LENGTH

CONTEXT = 512  # what the pipelines pad every prompt to
REST = 8
"""Zero tokens that stand for all further padding: with log(count) added to their scores they are the same
as the 480 that the pipelines append. Eight of them, because attention kernels want multiples of 8 keys."""


def short_context(text: Tensor) -> Tensor:
    """The embedded text [n, LENGTH, d] with the tokens that stand for the rest."""
    return F.pad(text, (0, 0, 0, REST))


def prepare_for_training(transformer: Any) -> Any:
    """Replaces the blocks' forward; parameters and their names stay as they are."""
    for block in [*transformer.blocks, *getattr(transformer, "vace_blocks", [])]:
        kind = _vace_block if hasattr(block, "proj_in") else _block
        kind = _speaking_block if hasattr(transformer, "audio_injector") else kind
        block.forward = types.MethodType(kind, block)
    if hasattr(transformer, "motion_encoder"):
        _fix_directions(transformer.motion_encoder)
    if hasattr(transformer, "audio_injector"):
        _remember_places()
    return transformer


@cache
def _remember_places() -> None:
    """Rotary embeddings are made on the CPU, whence nothing can be copied while a graph is captured."""
    from common.runtime.pipelines.s2v import rope, transformer

    made = cache(lambda grids, size, device: rope.rotary_embedding(grids, size, device))
    transformer.rotary_embedding = lambda grids, size, device: made(tuple(grids), size, device)


def _fix_directions(encoder: Any) -> None:
    """The motion encoder's directions stay as they were drawn: a QR decomposition a step cannot be captured."""
    encoder.motion_synthesis_weight.requires_grad_(False)
    with torch.no_grad():
        encoder.register_buffer(
            "directions",
            torch.linalg.qr(encoder.motion_synthesis_weight.float() + 1e-8)[0].T,
            persistent=False,
        )
    encoder.forward = types.MethodType(_motion, encoder)


@torch.no_grad()
def motions(transformer: Any, faces: Tensor) -> Tensor:
    """What the motion encoder makes of faces [n, 3, t, h, w]: [n, d, t, 1, 1], with which `know_faces` goes on."""
    rows = []
    for part in faces.split(64):
        flat = part.to(transformer.patch_embedding.weight.dtype).transpose(1, 2)
        said = transformer.motion_encoder(flat.flatten(0, 1)).unflatten(0, flat.shape[:2])
        rows.append(said.transpose(1, 2)[..., None, None].to(faces.dtype))
    return torch.cat(rows)


def know_faces(transformer: Any) -> None:
    """The motion encoder learns no more, and is given what it said: it took half of a step."""
    encoder = transformer.motion_encoder.requires_grad_(False)
    encoder.forward = types.MethodType(_said, encoder)


def _said(self: Any, motion: Tensor, channel_dim: int = 1) -> Tensor:
    del self, channel_dim
    return motion.flatten(1)


def _motion(self: Any, faces: Tensor, channel_dim: int = 1) -> Tensor:
    for layer in (self.conv_in, *self.res_blocks, self.conv_out):
        faces = layer(faces, channel_dim)
    motion = faces.flatten(1)
    for layer in self.motion_network:
        motion = layer(motion, channel_dim=channel_dim)
    return motion @ self.directions.to(motion.dtype)


def _block(self: Any, hidden: Tensor, context: Tensor, time: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    return _body(self, hidden, context, time, rotary)


def _vace_block(
    self: Any, hidden: Tensor, context: Tensor, control: Tensor, time: Tensor, rotary: tuple[Tensor, Tensor]
) -> tuple[Tensor | None, Tensor]:
    if self.proj_in is not None:
        control = self.proj_in(control) + hidden
    control = _body(self, control, context, time, rotary)
    return (None if self.proj_out is None else self.proj_out(control)), control


def _speaking_block(
    self: Any, hidden: Tensor, context: Tensor, time: Tensor, rotary: tuple[Tensor, Tensor], noisy: int
) -> Tensor:
    # [n, 2, 6, d]: the first noise level is that of the clip's tokens, the other that of those which are clean.
    both = (self.scale_shift_table[:, None] + time).to(hidden.dtype)
    clip, clean = (
        part.expand(-1, -1, count, -1).unbind(1)
        for part, count in zip(both[:, :, :, None].unbind(1), (noisy, hidden.shape[1] - noisy), strict=True)
    )
    table = [torch.cat(parts, 1) for parts in zip(clip, clean, strict=True)]
    return _shaped(self, hidden, context, table, rotary)


def _body(block: Any, hidden: Tensor, context: Tensor, time: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    if time.ndim == 4:  # a noise level per token
        table = [x.squeeze(2) for x in (block.scale_shift_table[None] + time).chunk(6, dim=2)]
    else:
        table = (block.scale_shift_table + time).chunk(6, dim=1)
    return _shaped(block, hidden, context, table, rotary)


def _shaped(
    block: Any, hidden: Tensor, context: Tensor, table: Sequence[Tensor], rotary: tuple[Tensor, Tensor]
) -> Tensor:
    shift, scale, gate, feed_shift, feed_scale, feed_gate = (x.to(hidden.dtype) for x in table)
    size = hidden.shape[-1:]
    norm = torch.addcmul(shift, F.layer_norm(hidden, size, eps=block.norm1.eps), 1 + scale)
    hidden = torch.addcmul(hidden, _self_attention(block.attn1, norm, rotary), gate)
    norm = F.layer_norm(hidden, size, block.norm2.weight, block.norm2.bias, block.norm2.eps)
    hidden = hidden + _cross_attention(block.attn2, norm, context)
    norm = torch.addcmul(feed_shift, F.layer_norm(hidden, size, eps=block.norm3.eps), 1 + feed_scale)
    return torch.addcmul(hidden, block.ffn(norm), feed_gate)


def _heads(attn: Any, x: Tensor) -> Tensor:
    return x.unflatten(2, (attn.heads, -1)).transpose(1, 2)


def _self_attention(attn: Any, x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = (t.transpose(1, 2).to(x.dtype) for t in rotary)
    query = _turn(_heads(attn, attn.norm_q(attn.to_q(x))), cos, sin)
    key = _turn(_heads(attn, attn.norm_k(attn.to_k(x))), cos, sin)
    found = F.scaled_dot_product_attention(query, key, _heads(attn, attn.to_v(x)))
    return attn.to_out[0](found.transpose(1, 2).flatten(2))


def _turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    # Both tables hold each angle twice, once for either member of a pair.
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.addcmul(x * cos, torch.stack([-odd, even], -1).flatten(-2), sin)


def _cross_attention(attn: Any, x: Tensor, context: Tensor) -> Tensor:
    words = LENGTH + REST
    text, picture = context[:, -words:], context[:, :-words]
    query = _heads(attn, attn.norm_q(attn.to_q(x)))
    key, value = _heads(attn, attn.norm_k(attn.to_k(text))), _heads(attn, attn.to_v(text))
    bias = x.new_zeros(words)
    bias[-REST:].fill_(math.log((CONTEXT - LENGTH) / REST))
    bias = bias.expand(query.shape[0], query.shape[1], query.shape[2], words)
    found = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    if attn.add_k_proj is not None:
        key = _heads(attn, attn.norm_added_k(attn.add_k_proj(picture)))
        found = found + F.scaled_dot_product_attention(query, key, _heads(attn, attn.add_v_proj(picture)))
    return attn.to_out[0](found.transpose(1, 2).flatten(2))
