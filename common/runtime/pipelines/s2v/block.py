"""One block of Wan-S2V: diffusers' own for Wan, for tokens of two noise levels."""

from __future__ import annotations

import torch
from diffusers.models.transformers.transformer_wan import WanTransformerBlock
from torch import Tensor


class WanS2VTransformerBlock(WanTransformerBlock):
    """The first `noisy` tokens are the clip's, at the timestep; those behind them are clean.

    diffusers' block can take a timestep a token, but then keeps six vectors a token.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        temb: Tensor,
        rotary_emb: tuple[Tensor, Tensor],
        noisy: int,
    ) -> Tensor:
        """`hidden_states` [batch, tokens, dim] after the block; `temb` is [batch, 2, 6, dim], of both levels."""
        modulation = self.scale_shift_table[:, None] + temb.float()
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = modulation.unbind(2)

        normed = _shifted(self.norm1(hidden_states.float()), scale, shift, noisy).type_as(hidden_states)
        attended = self.attn1(normed, None, None, rotary_emb)
        hidden_states = (hidden_states.float() + _scaled(attended, gate, noisy)).type_as(hidden_states)

        normed = self.norm2(hidden_states.float()).type_as(hidden_states)
        hidden_states = hidden_states + self.attn2(normed, encoder_hidden_states, None, None)

        normed = _shifted(self.norm3(hidden_states.float()), ffn_scale, ffn_shift, noisy)
        normed = normed.type_as(hidden_states)
        fed = _scaled(self.ffn(normed).float(), ffn_gate, noisy)
        return (hidden_states.float() + fed).type_as(hidden_states)


def _shifted(x: Tensor, scale: Tensor, shift: Tensor, noisy: int) -> Tensor:
    parts = (x[:, :noisy], x[:, noisy:])
    return torch.cat([p * (1 + scale[:, i, None]) + shift[:, i, None] for i, p in enumerate(parts)], dim=1)


def _scaled(x: Tensor, gate: Tensor, noisy: int) -> Tensor:
    parts = (x[:, :noisy], x[:, noisy:])
    return torch.cat([p * gate[:, i, None] for i, p in enumerate(parts)], dim=1)
