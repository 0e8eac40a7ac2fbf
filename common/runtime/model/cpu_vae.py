"""A VAE on a CPU without the kernels that are slow there: convolutions through oneDNN, norms as sums of squares.

torch picks oneDNN for a convolution by the size of batch, channels, frames and height alone, and so sends the
VAE's causal convolutions, which see a few frames at a time, to `slow_conv3d`: 87% of a decode. Of what is then left,
a quarter was `vector_norm`, which goes through the channels of each pixel one by one: a sum over whole channels takes
a tenth of the time. Pictures are alike to 1e-6 (bench/README.md).
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import WanRMS_norm
from torch import Tensor, nn

_LEAST = 1e-12
"""What `torch.nn.functional.normalize` takes for the norm of nothing."""


def speed_up(vae: nn.Module) -> None:
    """Does nothing for convolutions where torch has no oneDNN."""
    through = torch.backends.mkldnn.is_available()
    for part in vae.modules():
        if through and isinstance(part, nn.Conv3d) and part.padding_mode == "zeros":
            part._conv_forward = MethodType(_convolved, part)  # pyright: ignore[reportAttributeAccessIssue]
        elif isinstance(part, WanRMS_norm) and part.channel_first:
            part.forward = MethodType(_normed, part)


def _convolved(self: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.aten.mkldnn_convolution(
        x, weight, bias, self.padding, self.stride, self.dilation, self.groups
    )


def _normed(self: Any, x: Tensor) -> Tensor:
    exact = x.float()  # bf16 and fp16 overflow, or round what is small away
    length = exact.square().sum(1, keepdim=True).sqrt_().clamp_min_(_LEAST)
    return (exact * (self.scale / length)).to(x.dtype) * self.gamma + self.bias
