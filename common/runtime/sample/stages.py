"""Keeps a job within its placement: the text encoder is there while it reads, and the VAE decodes as planned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers.models.autoencoders.vae import DecoderOutput

from common.contract import Placement
from common.runtime.sample import selfcheck
from common.runtime.sample.attention import InPieces
from common.runtime.sample.decode import decoded

_homes: WeakKeyDictionary[Any, list[torch.Tensor]] = WeakKeyDictionary()


def attending(placement: Placement | None, device: str) -> AbstractContextManager[Any]:
    """Attention that is too large goes in pieces in it.

    On Apple's GPUs that is asked of each one anew, for a self-check may have found that none may go whole.
    """
    if device == "mps":
        return InPieces(selfcheck.verdict(device).limit)
    return InPieces() if placement and placement.attention == "chunked" else nullcontext()


@contextmanager
def reading(pipe: Any, placement: Placement, device: str) -> Iterator[None]:
    """The text encoder is on the device in it, and afterwards where the placement wants it."""
    if placement.offload == "group":  # its own hooks fetch it
        yield
        return
    encoder = pipe.text_encoder
    for tensor in _tensors(encoder):
        tensor.data = tensor.data.to(device)
    try:
        yield
    finally:
        if placement.offload == "text_encoder":
            _send_home(encoder)


@contextmanager
def sampling(pipe: Any, placement: Placement) -> Iterator[None]:
    """The VAE decodes as planned in it, and a text encoder that is away is not asked.

    For a pipeline takes its first module's device for its own.
    """
    with _without_its_encoder(pipe, placement), _decoding(pipe.vae, placement):
        yield


@contextmanager
def denoising(pipe: Any, placement: Placement) -> Iterator[list[torch.Tensor]]:
    """The same of a pipeline that decodes once, at its end: what it would decode is kept in the list instead."""
    vae, kept = pipe.vae, list[torch.Tensor]()

    def decode(latents: torch.Tensor, return_dict: bool = True) -> Any:
        kept.append(latents)
        made = (latents.new_zeros(1, 3, 1, 8, 8),)
        return DecoderOutput(*made) if return_dict else made

    with _without_its_encoder(pipe, placement), _replaced(vae, decode):
        _tile(vae, placement)
        yield kept


@contextmanager
def _without_its_encoder(pipe: Any, placement: Placement) -> Iterator[None]:
    encoder = pipe.text_encoder
    if placement.offload == "text_encoder":
        pipe.text_encoder = None
    try:
        yield
    finally:
        pipe.text_encoder = encoder


@contextmanager
def _decoding(vae: Any, placement: Placement) -> Iterator[None]:
    def decode(latents: torch.Tensor, return_dict: bool = True) -> Any:
        pieces = [*decoded(vae, placement, latents)]
        made = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        made = made.transpose(0, 1)[None].to(vae.dtype)
        return DecoderOutput(made) if return_dict else (made,)

    with _replaced(vae, decode):
        _tile(vae, placement)
        yield


@contextmanager
def _replaced(vae: Any, decode: Any) -> Iterator[None]:
    vae.decode = decode
    try:
        yield
    finally:
        del vae.decode


def _tile(vae: Any, placement: Placement) -> None:
    """Of what it encodes as well. Shared between modes: whatever the last job left behind is set anew."""
    vae.enable_tiling() if placement.tiling else vae.disable_tiling()


def _send_home(module: Any) -> None:
    """Into the machine's own memory, where its weights are kept from the first time on."""
    tensors = _tensors(module)
    if module not in _homes:
        _homes[module] = [tensor.data.cpu() for tensor in tensors]
    for tensor, home in zip(tensors, _homes[module], strict=True):
        tensor.data = home


def _tensors(module: Any) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
