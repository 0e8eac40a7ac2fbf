"""Captions of scenes as token ids, in many wordings and with unknown words around them."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from nano.train.world import Scenes
from nano.words import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, SIZES, pieces

PAD, END, UNKNOWN, SPACE = 0, 1, 2, 3
BEFORE, AFTER = 6, 14
LENGTH = BEFORE + 11 + AFTER + 1


@lru_cache
def _ids() -> dict[str, int]:
    return {piece: index for index, (piece, _) in enumerate(pieces())}


def _table(words: tuple[str, ...], device: torch.device) -> Tensor:
    """Token ids of each entry, −1 where an entry has fewer words than the longest."""
    split = [word.split() for word in words]
    longest = max(len(entry) for entry in split)
    rows = [[_ids()["▁" + w] for w in entry] + [-1] * (longest - len(entry)) for entry in split]
    return torch.tensor(rows, device=device)


def tokens(
    scenes: Scenes, *, plain: bool = False, blank: float = 0.0, drop: float = 0.06, vague: float = 0.06
) -> tuple[Tensor, Tensor]:
    """Ids [n, LENGTH] and the attributes that the words still tell [n, 5], −1 where they don't.

    `plain` gives the fixed sentence; otherwise wordings vary, `blank` of them say nothing (half of those are
    empty, half unknown words), each attribute but the shape is left out with probability `drop`, and the shape
    is called just "shape" with probability `vague`.
    """
    count, device = len(scenes), scenes.colour.device
    ids = _ids()

    def chance(p: float) -> Tensor:
        return torch.rand(count, device=device) < (0.0 if plain else p)

    def column(word: str, *, absent: Tensor | None = None) -> Tensor:
        filled = torch.full((count, 1), ids[word], device=device)
        return filled if absent is None else torch.where(absent[:, None], -1, filled)

    said = [~chance(drop) for _ in range(4)]
    told = torch.stack([scenes.colour, scenes.shape, scenes.motion, scenes.background, scenes.size], 1)
    named = ~chance(vague)
    told[:, 1] = torch.where(named, told[:, 1], -1)
    told[:, 0] = torch.where(said[0], told[:, 0], -1)
    told[:, 2] = torch.where(said[1], told[:, 2], -1)
    told[:, 3] = torch.where(said[2], told[:, 3], -1)

    article = column("▁a")
    article = torch.where(chance(0.25)[:, None], ids["▁A"], article)
    article = torch.where(chance(0.1)[:, None], ids["▁an"], article)
    article = torch.where(chance(0.1)[:, None], -1, article)

    def spoken(words: tuple[str, ...], which: Tensor, keep: Tensor) -> Tensor:
        return torch.where(keep[:, None], _table(words, which.device)[which], -1)

    everything = torch.ones(count, dtype=torch.bool, device=device)
    sentence = torch.cat(
        [
            article,
            spoken(SIZES, scenes.size, everything),
            spoken(COLOURS, scenes.colour, said[0]),
            torch.where(named[:, None], _table(SHAPES, device)[scenes.shape], ids["▁shape"]),
            spoken(MOTIONS, scenes.motion, said[1]),
            column("▁on", absent=~said[2]),
            column("▁a", absent=~said[2]),
            spoken(BACKGROUNDS, scenes.background, said[2]),
            column("▁background", absent=~said[2]),
            column(".", absent=~chance(0.3)),
        ],
        1,
    )
    wordless = chance(blank)
    junk_only = wordless & chance(0.5)
    sentence = torch.where(wordless[:, None], -1, sentence)
    told = torch.where(wordless[:, None], -1, told)

    def junk(width: int, often: float) -> Tensor:
        strange = torch.tensor(
            [SPACE, UNKNOWN, UNKNOWN, SPACE, ids["."], ids[","], ids["▁the"]], device=device
        )
        known = torch.randint(min(ids.values()) + 4, len(ids), (count, width), device=device)
        neutral = torch.tensor(
            [ids["▁" + w] for w in ["and", "of", "with", "is", "it", "video", "scene", "slowly"]],
            device=device,
        )
        mixed = strange[torch.randint(len(strange), (count, width), device=device)]
        mixed = torch.where(
            torch.rand(count, width, device=device) < 0.2, neutral[known % len(neutral)], mixed
        )
        length = torch.randint(1, width + 1, (count, 1), device=device)
        there = (chance(often) | junk_only)[:, None] & (torch.arange(width, device=device) < length)
        return torch.where(there & ~(wordless & ~junk_only)[:, None], mixed, -1)

    slots = torch.cat([junk(BEFORE, 0.08), sentence, junk(AFTER, 0.12)], 1)
    order = torch.argsort((slots < 0).int(), dim=1, stable=True)
    slots = slots.gather(1, order)
    slots = torch.cat([slots, slots.new_full((count, LENGTH - slots.shape[1]), -1)], 1)
    length = (slots >= 0).sum(1)
    slots = torch.where(slots < 0, PAD, slots)
    slots[torch.arange(count, device=device), length] = END
    return slots, told


def negative_ids(count: int, device: torch.device | str) -> Tensor:
    """The Studio's own Chinese prompts as nano's tokenizer reads them: one unknown word."""
    ids = torch.zeros(count, LENGTH, dtype=torch.long, device=device)
    ids[:, 0], ids[:, 1], ids[:, 2] = SPACE, UNKNOWN, END
    return ids


def embed(encoder: torch.nn.Module, ids: Tensor) -> Tensor:
    """What the pipelines pass to a transformer, cut to LENGTH: zeros after the end of the text."""
    mask = torch.arange(ids.shape[1], device=ids.device) <= (ids == END).int().argmax(1, keepdim=True)
    states = encoder(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    return states * mask[..., None]
