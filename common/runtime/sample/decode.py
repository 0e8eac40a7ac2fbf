"""A clip's latents become pictures while the mp4 is written: each piece leaves the device as bytes.

On CUDA the device decodes the next piece while the host has the last one; on a CPU one comes after the other.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from common.contract import Placement
from common.errors import ResultError
from common.runtime.model.vae_decode import Decoder

Pictures = NDArray[np.uint8]

_decoders: WeakKeyDictionary[Any, dict[tuple[torch.dtype, bool], Decoder]] = WeakKeyDictionary()
_thin: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()


def decoded(vae: Any, placement: Placement, latents: Tensor) -> Iterator[Tensor]:
    """The frames of latents [1, channels, frames, height, width], which are the VAE's own: no longer normed.

    They come in pieces [frames, 3, height, width] of float32 in -1..1.
    """
    wanted = getattr(torch, placement.precision["vae_decode"])
    own = vae.device.type == "cpu" or wanted == torch.float16
    if placement.tiling or not own:
        worker = vae if vae.dtype == wanted else _copied(vae, wanted)
        # Shared between modes: whatever the last job left behind is set anew.
        worker.enable_tiling() if placement.tiling else worker.disable_tiling()
        with torch.no_grad():  # the class's own: while a pipeline works, its VAE's `decode` comes here
            made = type(worker).decode(worker, latents.to(wanted), return_dict=False)[0]
        yield made[0].transpose(0, 1).float()
        return
    known = _decoders.setdefault(vae, {})
    compiled = placement.compile != "none" and vae.device.type == "cuda"
    if (wanted, compiled) not in known:
        known[wanted, compiled] = Decoder(vae, wanted, compiled=compiled)
    yield from known[wanted, compiled](latents)


def pictures(vae: Any, placement: Placement, latents: Tensor) -> Iterator[Pictures]:
    """The same as bytes [frames, height, width, 3] on the host.

    What fp16 cannot hold is decoded again in full precision; ResultError where that is no number either.
    """
    given = 0
    for piece in _one_ahead(decoded(vae, placement, latents)):
        if not piece.is_whole():
            break
        yield piece.pictures()
        given += len(piece.bytes_)
    else:
        return
    if placement.precision["vae_decode"] == "float32":
        raise _invalid()
    exact = placement.model_copy(
        update={"precision": {**placement.precision, "vae_decode": "float32"}, "compile": "none"}
    )
    for piece in _one_ahead(decoded(vae, exact, latents)):
        if not piece.is_whole():
            raise _invalid()
        # They may come in other pieces: on a card this is diffusers' own decoder, which makes all at once.
        if len(missing := piece.pictures()[given:]):
            yield missing
        given = max(0, given - len(piece.bytes_))


@dataclass(frozen=True)
class _Piece:
    """Bytes on their way to the host, and whether they were made of numbers."""

    bytes_: Tensor
    whole: Tensor
    arrived: Any

    def is_whole(self) -> bool:
        if self.arrived is not None:
            self.arrived.synchronize()
        return bool(self.whole)

    def pictures(self) -> Pictures:
        return self.bytes_.numpy()


def _one_ahead(pieces: Iterator[Tensor]) -> Iterator[_Piece]:
    """Each piece when the one after it has been asked for."""
    waiting: _Piece | None = None
    for piece in pieces:
        coming = _sent(piece)
        if waiting is not None:
            yield waiting
        waiting = coming
    if waiting is not None:
        yield waiting


def _sent(piece: Tensor) -> _Piece:
    bytes_ = ((piece / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    whole = torch.isfinite(piece).all()
    if piece.device.type != "cuda":
        return _Piece(bytes_.cpu(), whole.cpu(), None)
    there = torch.empty(bytes_.shape, dtype=torch.uint8, pin_memory=True)
    there.copy_(bytes_, non_blocking=True)
    known = torch.empty((), dtype=torch.bool, pin_memory=True)
    known.copy_(whole, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()
    return _Piece(there, known, arrived)


def _copied(vae: Any, wanted: torch.dtype) -> Any:
    """The VAE in another format, beside its own: cast there and back it would lose its last bits."""
    if vae not in _thin:
        _thin[vae] = copy.deepcopy(vae).to(wanted)
    return _thin[vae]


def _invalid() -> ResultError:
    return ResultError("The model produced invalid numbers; try another seed or fewer frames")
