"""What is heard, as tokens a latent frame: Wan-S2V's causal audio encoder, with diffusers' names of weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from common.runtime.pipelines.s2v.mapping import TOKENS

_EPS = 1e-6


class CausalAudioEncoder(nn.Module):
    """Of all layers of wav2vec2, 4 frames of the video at a time, tokens that know nothing of what comes later."""

    def __init__(self, audio_dim: int, inner_dim: int, num_layers: int, pooled: bool) -> None:
        super().__init__()
        self.weighted_avg = WeightedAverage(num_layers)
        self.encoder = TokenEncoder(audio_dim, inner_dim, pooled)

    def forward(self, audio_embeds: Tensor) -> tuple[Tensor | None, Tensor]:
        """One token [batch, f, inner_dim] for a whole frame, where there is such, and [batch, f, 5, inner_dim].

        `audio_embeds` is [batch, layers, audio_dim, frames]; f is a quarter of the frames, rounded up.
        """
        dtype = self.weighted_avg.weights.dtype  # float32, whatever the other weights are
        return self.encoder(self.weighted_avg(audio_embeds.to(dtype)).transpose(1, 2))


class WeightedAverage(nn.Module):
    """The mean of the layers by learned weights."""

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((1, num_layers, 1, 1), 0.01))

    def forward(self, layers: Tensor) -> Tensor:
        weights = functional.silu(self.weights)
        return (layers * weights / weights.sum(dim=1, keepdim=True)).sum(dim=1)


class TokenEncoder(nn.Module):
    """Convolutions over time, 4 to 1; the local tokens and the pooled one share the last two."""

    def __init__(self, audio_dim: int, inner_dim: int, pooled: bool) -> None:
        super().__init__()
        quarter = inner_dim // 4
        self.conv1_local = CausalConv1d(audio_dim, quarter * TOKENS)
        self.conv1_global = CausalConv1d(audio_dim, quarter) if pooled else None
        self.norm1 = nn.LayerNorm(quarter, elementwise_affine=False, eps=_EPS)
        self.conv2 = CausalConvLayer(quarter, inner_dim // 2)
        self.conv3 = CausalConvLayer(inner_dim // 2, inner_dim)
        self.final_linear = nn.Linear(inner_dim, inner_dim) if pooled else None
        self.padding_tokens = nn.Parameter(torch.zeros(1, 1, 1, inner_dim))

    def forward(self, sound: Tensor) -> tuple[Tensor | None, Tensor]:
        """Of `sound` [batch, frames, audio_dim], see `CausalAudioEncoder`."""
        tokens = self.conv1_local(sound).unflatten(2, (TOKENS, -1)).transpose(1, 2).flatten(0, 1)
        tokens = self._shared(tokens).unflatten(0, (-1, TOKENS)).transpose(1, 2)
        padding = self.padding_tokens.expand(tokens.shape[0], tokens.shape[1], -1, -1)
        tokens = torch.cat([tokens, padding], dim=2)
        if self.conv1_global is None or self.final_linear is None:
            return None, tokens
        return self.final_linear(self._shared(self.conv1_global(sound))), tokens

    def _shared(self, x: Tensor) -> Tensor:
        return self.conv3(self.conv2(functional.silu(self.norm1(x))))


class CausalConv1d(nn.Module):
    """Over the second axis of [batch, time, channels]; before the beginning is what is there first."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size=3, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x.transpose(1, 2), (2, 0), mode="replicate")).transpose(1, 2)


class CausalConvLayer(nn.Module):
    """A convolution that halves the time, a norm and an activation."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = CausalConv1d(in_channels, out_channels, stride=2)
        self.norm = nn.LayerNorm(out_channels, elementwise_affine=False, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return functional.silu(self.norm(self.conv(x)))
