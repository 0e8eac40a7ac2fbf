"""Steps with guidance on an even number of cards: half of them make one of its two forwards, half the other.

diffusers' pipelines make the one with the prompt first, then that without, and only after both look at what came. So
each half skips the forward of the other, in whose place stands an empty tensor; it is filled when the second one is
over. Of two cards each makes a whole forward, as one card alone does, to the bit. All share steps without guidance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import MethodType
from typing import Any

from torch import Tensor

from common.runtime.fast import ulysses
from common.runtime.fast.exchange import told
from common.runtime.together import Ranks


@contextmanager
def split(pipe: Any, transformers: Iterable[Any], ranks: Ranks | None, *, halves: bool) -> Iterator[None]:
    """In it the forwards of a pipeline's transformers are shared with the other ranks, which run the same pipeline.

    None: they are not. With `halves` there must be an even number of ranks.
    """
    half = ranks.half if ranks is not None and halves else None
    if ranks is None or half is None:
        with ulysses.split(transformers, ranks):
            yield
        return
    transformers = [*transformers]
    with ExitStack() as held:
        held.enter_context(
            ulysses.split(transformers, ranks, lambda: half if pipe.do_classifier_free_guidance else ranks)
        )
        for transformer in transformers:
            held.enter_context(_halved(pipe, transformer, ranks, half))
        yield


@contextmanager
def _halved(pipe: Any, transformer: Any, ranks: Ranks, half: Ranks) -> Iterator[None]:
    """No hook of torch's can skip a forward: so it is another, on the instance."""
    before, own = transformer.__dict__.get("forward"), transformer.forward
    mine = ranks.rank // half.size
    """0: with the prompt."""
    made = list[Tensor]()

    def forward(self: Any, *args: Any, **named: Any) -> tuple[Tensor]:
        if not pipe.do_classifier_free_guidance:
            return own(*args, **named)
        if len(made) == mine:
            prediction = own(*args, **named)[0]
        else:
            latents = named["hidden_states"] if "hidden_states" in named else args[0]
            batch, _, *shape = latents.shape
            prediction = latents.new_empty(batch, transformer.config.out_channels, *shape)
        made.append(prediction)
        if len(made) == 2:
            for which, there in enumerate(made):
                came = told(there, which * half.size, ranks)
                if which != mine:
                    there.copy_(came)
            made.clear()
        return (prediction,)

    transformer.forward = MethodType(forward, transformer)
    try:
        yield
    finally:
        if before is None:
            del transformer.forward
        else:
            transformer.forward = before
