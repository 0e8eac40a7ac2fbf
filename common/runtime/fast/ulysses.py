"""A transformer's forward on several cards: each has a part of the tokens from the patches to the last projection.

diffusers' own context parallelism cuts in front of the first block, where a step cache compares what that block was
given with what it made, and our compiled blocks are whole graphs; it meets attention in a function that our kernels
do not pass; and it knows no VACE. So the cut is where tokens begin: behind the patches, as is that of the rotary
embedding, and of the timesteps where each token has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor
from torch.nn import functional

from common.runtime.fast import blocks
from common.runtime.fast.exchange import Exchange, gathered
from common.runtime.together import Ranks

PIECES = 1
"""See `Exchange.pieces`."""


@contextmanager
def split(
    transformers: Iterable[Any], ranks: Ranks | None, these: Callable[[], Ranks] | None = None
) -> Iterator[None]:
    """In it their forwards are shared with the other ranks, which must make the same ones; None: they are not.

    Before each forward `these` of them may be named, which share that one.
    """
    with ExitStack() as held:
        for transformer in transformers:
            if ranks is None:
                break
            exchange = Exchange(ranks, pieces=PIECES)
            processor = held.enter_context(blocks.exchanging(transformer))
            # By torch's own hooks, and for this job alone: a LoRA may have put itself around any of these layers.
            for handle in _cut(transformer, processor, exchange, these or (lambda: ranks)):
                held.callback(handle.remove)
        yield


def _cut(
    transformer: Any, processor: blocks.SelfAttention, exchange: Exchange, these: Callable[[], Ranks]
) -> Iterator[Any]:
    ranks, patch = exchange.ranks, transformer.config.patch_size
    share = 0

    def part(x: Tensor, dim: int) -> Tensor:
        """This card's tokens, filled up with zeros."""
        if ranks.size == 1:
            return x
        missing = share * ranks.size - x.shape[dim]
        if missing:
            x = functional.pad(x, (0, 0) * (x.dim() - 1 - dim % x.dim()) + (0, missing))
        return x.narrow(dim, share * ranks.rank, share)

    def begin(_: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        nonlocal share, ranks
        ranks = exchange.ranks = these()
        processor.exchange = exchange if ranks.size > 1 else None  # alone it is what it is on one card
        latents = named["hidden_states"] if "hidden_states" in named else args[0]
        tokens = 1
        for length, each in zip(latents.shape[2:], patch, strict=True):
            tokens *= length // each
        share = -(-tokens // ranks.size)
        exchange.extra = share * ranks.size - tokens
        timestep = named.get("timestep")
        if isinstance(timestep, Tensor) and timestep.dim() == 2:  # one for each token
            named = {**named, "timestep": part(timestep, 1)}
        return args, named

    def patches(_: Any, __: Any, made: Tensor) -> Tensor:
        return part(made.flatten(2), 2)

    def whole(_: Any, __: Any, made: Tensor) -> Tensor:
        made = gathered(made, 1, ranks)
        return made[:, : made.shape[1] - exchange.extra] if exchange.extra else made

    yield transformer.register_forward_pre_hook(begin, with_kwargs=True)
    yield transformer.rope.register_forward_hook(lambda _, __, made: tuple(part(x, 1) for x in made))
    for name in ("patch_embedding", "vace_patch_embedding"):
        if hasattr(transformer, name):
            yield getattr(transformer, name).register_forward_hook(patches)
    yield transformer.proj_out.register_forward_hook(whole)


