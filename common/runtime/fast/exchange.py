"""Attention over several cards as DeepSpeed-Ulysses has it: each gives tokens away, and gets heads for them.

Before attention a card has some of the tokens with all of their heads, [batch, its tokens, heads, dim]; in it all
tokens with some of the heads; afterwards what it had. The collectives are torch's functional ones, which a compiler
follows, and which work while something else is computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from common.runtime.together import Ranks


@dataclass
class Exchange:
    """With the other `ranks`. Of the tokens on all cards together the last `extra` are none: they fill up a share.

    Heads that do not divide are filled up too: 40 on 3 cards are 14 for each. In `pieces` a card's heads are attended
    to one after the other: what the first have made travels while the next are at work.
    """

    ranks: Ranks
    extra: int = 0
    pieces: int = 1

    def send(self, x: Tensor) -> Tensor:
        """Sends the heads of [batch, its tokens, heads, dim] to whose they are; it is not waited for."""
        size = self.ranks.size
        if missing := -x.shape[2] % size:
            x = functional.pad(x, (0, 0, 0, missing))
        return _to_all(x.unflatten(2, (size, -1)).permute(2, 0, 1, 3, 4).contiguous(), self.ranks)

    def heads(self, sent: Tensor) -> Tensor:
        """What has come of what all have sent: [batch, all tokens, its heads, dim]."""
        x = _arrived(sent).transpose(0, 1).flatten(1, 2)
        return x[:, : x.shape[1] - self.extra] if self.extra else x

    def parts(self, x: Tensor) -> Sequence[Tensor]:
        """Its heads in pieces, as even as can be."""
        return x.tensor_split(self.pieces, dim=2) if self.pieces > 1 else (x,)

    def give_back(self, made: Tensor) -> Tensor:
        """Sends [batch, all tokens, some heads, dim] to whose tokens they are; it is not waited for."""
        if self.extra:
            made = functional.pad(made, (0, 0, 0, 0, 0, self.extra))
        return _to_all(made.unflatten(1, (self.ranks.size, -1)).transpose(0, 1).contiguous(), self.ranks)

    def tokens(self, given: Sequence[Tensor], heads: int) -> Tensor:
        """What has come back: [batch, its tokens, heads, dim]."""
        parts = [_arrived(part).permute(1, 2, 0, 3, 4) for part in given]
        x = (parts[0] if len(parts) == 1 else torch.cat(parts, 3)).flatten(2, 3)
        return x[:, :, :heads]


def gathered(x: Tensor, dim: int, ranks: Ranks) -> Tensor:
    """What all have, one after the other along `dim`."""
    if ranks.size == 1:
        return x
    first = x.movedim(dim, 0).contiguous()
    made = torch.ops._c10d_functional.all_gather_into_tensor(first, ranks.size, ranks.group)
    return _arrived(made).movedim(0, dim)


def told(x: Tensor, source: int, ranks: Ranks) -> Tensor:
    """What the rank `source` has; the others give a tensor like it."""
    return _arrived(torch.ops._c10d_functional.broadcast(x.contiguous(), source, ranks.group))


def _to_all(x: Tensor, ranks: Ranks) -> Tensor:
    each = [1] * ranks.size
    return torch.ops._c10d_functional.all_to_all_single(x, each, each, ranks.group)


def _arrived(x: Tensor) -> Tensor:
    return torch.ops._c10d_functional.wait_tensor(x)
