"""Sentences of the words that Wan-Nano understands, and its vocabulary."""

from __future__ import annotations

from common.nano_words import AROUND, BACKGROUNDS, COLOURS, MARKS, MOTIONS, SHAPES, SIZES, own_words

__all__ = ["BACKGROUNDS", "COLOURS", "MOTIONS", "SHAPES", "SIZES", "caption", "pieces"]


def caption(colour: int, shape: int, motion: int, background: int, size: int = 1) -> str:
    """The sentence for one clip, by indices into the tuples of words."""
    words = (
        "a",
        SIZES[size],
        COLOURS[colour],
        SHAPES[shape],
        MOTIONS[motion],
        "on a",
        BACKGROUNDS[background],
    )
    return " ".join(word for word in (*words, "background") if word)


def pieces() -> list[tuple[str, float]]:
    """Unigram vocabulary with scores; every word also capitalised, as the encoder was trained.

    The tokenizer makes everything lower case, so that none of the capitalised ones is ever met.
    """
    words = own_words()
    ordered = sorted(words) + [w for w in AROUND if w not in words]
    cased = [form for word in ordered for form in (word, word.capitalize())]
    marks = ["▁", *MARKS]
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [
        (piece, -2.0) for piece in (*marks, *("▁" + word for word in cased))
    ]
