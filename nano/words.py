"""The words that Wan-Nano understands: the world's own, and those that usually stand around them."""

from __future__ import annotations

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "cyan", "white")
SHAPES = ("circle", "square", "triangle", "star")
BACKGROUNDS = ("black", "gray", "navy", "beige")
MOTIONS = (
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "growing",
    "shrinking",
    "spinning",
    "standing still",
)
SIZES = ("small", "", "large")

_AROUND = (
    "a an the and on in of with to at is are it its this that there background video clip picture image "
    "scene showing shows shape moves slowly quickly across while from into over behind"
)


def caption(colour: int, shape: int, motion: int, background: int, size: int = 1) -> str:
    """The sentence for one clip, by indices into the tuples above."""
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
    """Unigram vocabulary with scores; every word also capitalised, since T5's tokenizer keeps case."""
    words = {w for phrase in (*COLOURS, *SHAPES, *BACKGROUNDS, *MOTIONS, *SIZES) for w in phrase.split()}
    ordered = sorted(words) + [w for w in _AROUND.split() if w not in words]
    cased = [form for word in ordered for form in (word, word.capitalize())]
    marks = ["▁", ".", ",", "!", ":", ";", "-"]
    return [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)] + [
        (piece, -2.0) for piece in (*marks, *("▁" + word for word in cased))
    ]
