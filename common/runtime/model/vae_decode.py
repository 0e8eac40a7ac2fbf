"""Wan's VAE decodes as it was made to, a few latent frames at a time, in a layout that a GPU is fast in.

diffusers decodes one latent frame after another in [batch, channels, frames, height, width], keeps what a causal
convolution looks back on in a list that it changes, and norms in float32 copies: on an H100 a third of its time went
into convolutions, the rest into copies (bench/README.md). Here frames are [frames, channels, height, width] with the
channels last in memory; a convolution over time is one of two dimensions that sees three frames as three times the
channels; norm, activation and that stacking are one function, which can be compiled. The result is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_wan import unpatchify
from torch import Tensor
from torch.nn import functional

Tails = dict[int, Tensor]
"""The last frames that a convolution over time has seen, [2, pixels, channels], by its number."""
Step = Callable[[Tensor, Tails], Tensor]

_LEAST = 1e-12
"""What `torch.nn.functional.normalize` takes for the norm of nothing."""


class Decoder:
    """The decoder of an AutoencoderKLWan, 2.1's or 2.2's, with its weights in `dtype`.

    With `compiled` norm and activation are one kernel, made at the first clip. `chunk` latent frames are decoded at
    once: more take more memory, and little less time.
    """

    def __init__(self, vae: Any, dtype: torch.dtype, *, compiled: bool = False, chunk: int = 1) -> None:
        self.dtype, self.chunk = dtype, chunk
        self.patch: int | None = vae.config.patch_size
        self._stacked = _compiled() if compiled else _stacked
        self._count = 0
        self._quant = _of_one_frame(vae.post_quant_conv, dtype)
        decoder = vae.decoder
        self._first = self._causal(decoder.conv_in, None)
        self._middle = [self._residual(decoder.mid_block.resnets[0])]
        for attention, block in zip(decoder.mid_block.attentions, decoder.mid_block.resnets[1:], strict=True):
            self._middle += [_attention(attention, dtype), self._residual(block)]
        self._up = [self._block(block) for block in decoder.up_blocks]
        self._last = self._causal(decoder.conv_out, decoder.norm_out)

    @torch.no_grad()
    def __call__(self, latents: Tensor) -> Iterator[Tensor]:
        """All frames of latents [1, channels, frames, height, width], which are the VAE's own: no longer normed.

        They come in pieces [frames, 3, height, width] of float32 in -1..1.
        """
        frames = latents[0].transpose(0, 1).to(self.dtype).contiguous(memory_format=torch.channels_last)
        frames = functional.conv2d(frames, *self._quant)
        tails: Tails = {}
        # The first stands for one frame, each later one for four.
        starts = [0, *range(1, len(frames), self.chunk), len(frames)]
        for start, end in pairwise(starts):
            yield self._decoded(frames[start:end], tails, first=start == 0)

    def _decoded(self, x: Tensor, tails: Tails, *, first: bool) -> Tensor:
        x = self._first(x, tails)
        for step in self._middle:
            x = step(x, tails)
        for block in self._up:
            x = block(x, tails, first)
        made = self._last(x, tails).float()
        if self.patch is not None:
            made = unpatchify(made.transpose(0, 1)[None], self.patch)[0].transpose(0, 1)
        return made.clamp(-1, 1)

    def _causal(self, conv: Any, norm: Any) -> Step:
        """A convolution over each frame and the two before it, of what is normed and activated where it is."""
        number, self._count = self._count, self._count + 1
        taps = conv.weight.permute(0, 2, 1, 3, 4).flatten(1, 2)  # [out, 3 * in, rows, columns]
        weight, bias, edge = _weight(taps, self.dtype), conv.bias.to(self.dtype), conv.weight.shape[-1] // 2
        gamma = None if norm is None else norm.gamma.flatten() * norm.scale

        def step(x: Tensor, tails: Tails) -> Tensor:
            flat = _flat(x)
            tail = tails[number] if number in tails else flat.new_zeros(2, *flat.shape[1:])
            stack, tails[number] = self._stacked(flat, tail, gamma)
            return functional.conv2d(_deep(stack, x.shape[2]), weight, bias, padding=edge)

        return step

    def _residual(self, block: Any) -> Step:
        one, two = self._causal(block.conv1, block.norm1), self._causal(block.conv2, block.norm2)
        same = not isinstance(block.conv_shortcut, torch.nn.Conv3d)
        short = None if same else _of_one_frame(block.conv_shortcut, self.dtype)

        def step(x: Tensor, tails: Tails) -> Tensor:
            return two(one(x, tails), tails).add_(functional.conv2d(x, *short) if short else x)

        return step

    def _block(self, block: Any) -> Callable[[Tensor, Tails, bool], Tensor]:
        steps = [self._residual(each) for each in block.resnets]
        given = getattr(block, "upsamplers", None)
        larger = given[0] if given else getattr(block, "upsampler", None)
        shortcut = getattr(block, "avg_shortcut", None)
        if larger is not None:
            time = self._causal(larger.time_conv, None) if larger.mode == "upsample3d" else None
            weight, bias = _of_one_frame(larger.resample[1], self.dtype)

        def run(x: Tensor, tails: Tails, first: bool) -> Tensor:
            came = x
            for step in steps:
                x = step(x, tails)
            if larger is None:
                return x
            if time is not None and not first:  # that is one frame, and none of what follows looks back on it
                x = time(x, tails).unflatten(1, (2, -1)).flatten(0, 1)
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest-exact")
            x = functional.conv2d(x, weight, bias, padding=1)
            if shortcut is None:
                return x
            return x + shortcut(came.transpose(0, 1)[None], first_chunk=first)[0].transpose(0, 1)

        return run


@cache
def _compiled() -> Callable[..., tuple[Tensor, Tensor]]:
    """One kernel a number of channels, whatever the size; one frame is a case of its own."""
    from torch import _dynamo as dynamo  # takes seconds, and most never need it

    made = torch.compile(_stacked, dynamic=True)

    def call(x: Tensor, tail: Tensor, gamma: Tensor | None) -> tuple[Tensor, Tensor]:
        for each in (x, tail):
            dynamo.mark_static(each, 2)
        with dynamo.config.patch(recompile_limit=64):
            return made(x, tail, gamma)

    return call


def _of_one_frame(conv: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution of two dimensions, or of three that sees one frame."""
    weight = conv.weight if conv.weight.ndim == 4 else conv.weight[:, :, 0]
    return _weight(weight, dtype), conv.bias.to(dtype)


def _weight(weight: Tensor, dtype: torch.dtype) -> Tensor:
    return weight.to(dtype).contiguous(memory_format=torch.channels_last)


def _stacked(x: Tensor, tail: Tensor, gamma: Tensor | None) -> tuple[Tensor, Tensor]:
    """Of frames [n, pixels, channels] what each one sees, [n, pixels, 3 * channels]; and the new tail."""
    if gamma is not None:
        x = functional.silu(_normed(x, gamma))
    whole = torch.cat([tail, x])
    stack = torch.cat([whole[first : first + len(x)] for first in range(3)], dim=-1)
    return stack, whole[-2:].clone()


def _flat(x: Tensor) -> Tensor:
    """Frames [n, channels, height, width] as [n, pixels, channels], which is how they lie in memory."""
    return x.permute(0, 2, 3, 1).contiguous().flatten(1, 2)


def _deep(x: Tensor, height: int) -> Tensor:
    """And back."""
    return x.unflatten(1, (height, -1)).permute(0, 3, 1, 2)


def _normed(x: Tensor, gamma: Tensor) -> Tensor:
    """By its channels, the last dimension."""
    exact = x.float()  # bf16 and fp16 overflow, or round what is small away
    length = exact.square().sum(-1, keepdim=True).sqrt().clamp_min(_LEAST)
    return (exact / length * gamma).to(x.dtype)


def _attention(block: Any, dtype: torch.dtype) -> Step:
    """Of each frame by itself, with one head."""
    gamma = block.norm.gamma.flatten() * block.norm.scale
    ask = block.to_qkv.weight.flatten(1).to(dtype), block.to_qkv.bias.to(dtype)
    tell = block.proj.weight.flatten(1).to(dtype), block.proj.bias.to(dtype)

    def step(x: Tensor, tails: Tails) -> Tensor:
        del tails
        asked = functional.linear(_normed(_flat(x), gamma), *ask)[:, None]
        query, key, value = asked.chunk(3, dim=-1)
        made = functional.scaled_dot_product_attention(query, key, value)[:, 0]
        return x + _deep(functional.linear(made, *tell), x.shape[2])

    return step
