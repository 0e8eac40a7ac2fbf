"""Keeps a job within its placement: the text encoder is there while it reads, and the VAE decodes as planned."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from weakref import WeakKeyDictionary

import torch
from diffusers.models.autoencoders.vae import DecoderOutput

from common.contract import Placement
from common.runtime.model.vae_decode import Decoder
from common.runtime.sample import selfcheck
from common.runtime.sample.attention import InPieces

_homes: WeakKeyDictionary[Any, list[torch.Tensor]] = WeakKeyDictionary()
_thin: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
_decoders: WeakKeyDictionary[Any, Decoder] = WeakKeyDictionary()


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
    """A pipeline takes its first module's device for its own: a text encoder that is away must not be asked."""
    encoder = pipe.text_encoder
    if placement.offload == "text_encoder":
        pipe.text_encoder = None
    try:
        with _decoding(pipe.vae, placement):
            yield
    finally:
        pipe.text_encoder = encoder


@contextmanager
def _decoding(vae: Any, placement: Placement) -> Iterator[None]:
    wanted = getattr(torch, placement.precision["vae_decode"])
    worker = vae if vae.dtype == wanted else _copied(vae, wanted)
    # Shared between modes: whatever the last job left behind is set anew.
    for each in {vae, worker}:
        each.enable_tiling() if placement.tiling else each.disable_tiling()
    whole = vae.device.type == "cpu" and not placement.tiling
    if worker is vae and not whole:
        yield
        return

    def decode(latents: torch.Tensor, return_dict: bool = True) -> Any:
        if whole:
            made = (_in_pieces(worker, latents).to(vae.dtype),)
            return DecoderOutput(*made) if return_dict else made
        made = worker.decode(latents.to(wanted), return_dict=return_dict)
        return made if return_dict else (made[0].to(vae.dtype),)

    vae.decode = decode
    try:
        yield
    finally:
        del vae.decode


def _in_pieces(vae: Any, latents: torch.Tensor) -> torch.Tensor:
    """What the VAE decodes of latents [1, channels, frames, height, width]."""
    if vae not in _decoders:
        _decoders[vae] = Decoder(vae, vae.dtype)
    return torch.cat([*_decoders[vae](latents)]).transpose(0, 1)[None]


def _copied(vae: Any, wanted: torch.dtype) -> Any:
    """The VAE in another format, beside its own: cast there and back it would lose its last bits."""
    if vae not in _thin:
        _thin[vae] = copy.deepcopy(vae).to(wanted)
    return _thin[vae]


def _send_home(module: Any) -> None:
    """Into the machine's own memory, where its weights are kept from the first time on."""
    tensors = _tensors(module)
    if module not in _homes:
        _homes[module] = [tensor.data.cpu() for tensor in tensors]
    for tensor, home in zip(tensors, _homes[module], strict=True):
        tensor.data = home


def _tensors(module: Any) -> list[torch.Tensor]:
    return [*module.parameters(), *module.buffers()]
