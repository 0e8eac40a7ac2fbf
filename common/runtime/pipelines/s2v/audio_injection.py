"""How the sound gets into the picture: after some blocks, each frame of the clip looks at its own audio tokens."""

from __future__ import annotations

from collections.abc import Sequence

from diffusers.models.normalization import AdaLayerNorm
from diffusers.models.transformers.transformer_wan import WanAttention, WanAttnProcessor
from torch import Tensor, nn


class AudioInjector(nn.Module):
    """A cross-attention for each of the blocks `inject_layers`, with diffusers' names of weights.

    With `enable_adain` what looks is first scaled and shifted by the frame's pooled audio (AdaIN).
    """

    def __init__(
        self, dim: int, num_heads: int, inject_layers: Sequence[int], enable_adain: bool, eps: float
    ) -> None:
        super().__init__()
        self.place = {layer: i for i, layer in enumerate(sorted(inject_layers))}
        """Which injector follows which block."""
        self.injector = nn.ModuleList(
            WanAttention(
                dim=dim, heads=num_heads, dim_head=dim // num_heads, eps=eps,
                cross_attention_dim_head=dim // num_heads, processor=WanAttnProcessor(),
            )
            for _ in self.place
        )  # fmt: skip
        self.injector_adain_layers: nn.ModuleList | None = None
        self.injector_pre_norm_feat: nn.ModuleList | None = None
        if enable_adain:
            self.injector_adain_layers = nn.ModuleList(
                AdaLayerNorm(embedding_dim=dim, output_dim=2 * dim, chunk_dim=1) for _ in self.place
            )
        else:
            self.injector_pre_norm_feat = nn.ModuleList(
                nn.LayerNorm(dim, elementwise_affine=False, eps=eps) for _ in self.place
            )

    def forward(self, hidden_states: Tensor, layer: int, audio: Tensor, pooled: Tensor | None) -> Tensor:
        """What is added to the clip's tokens `hidden_states` [batch, f * tokens, dim] after the block `layer`.

        `audio` is [batch, f, 5, dim] and `pooled` [batch, f, dim].
        """
        i, frames = self.place[layer], audio.shape[1]
        asking = hidden_states.unflatten(1, (frames, -1)).flatten(0, 1)
        if self.injector_adain_layers is not None:
            assert pooled is not None
            asking = self.injector_adain_layers[i](asking, temb=pooled.flatten(0, 1))
        elif self.injector_pre_norm_feat is not None:
            asking = self.injector_pre_norm_feat[i](asking)
        heard = self.injector[i](asking, audio.flatten(0, 1))
        return heard.unflatten(0, (-1, frames)).flatten(1, 2)
