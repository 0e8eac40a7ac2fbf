"""The words that Wan-Nano understands, and what is said of a prompt that has others."""

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
AROUND = (
    "a", "an", "the", "and", "on", "in", "of", "with", "to", "at", "is", "are", "it", "its", "this", "that", "there",
    "background", "video", "clip", "picture", "image", "scene", "showing", "shows", "shape", "moves", "slowly",
    "quickly", "across", "while", "from", "into", "over", "behind",
)  # fmt: skip
"""Words that usually stand around the others."""
MARKS = ".,!:;-"
"""Punctuation that may follow a word."""
NAMED = 8
"""So many unknown words are named at most."""


def own_words() -> set[str]:
    """The words that mean something in the world of Wan-Nano."""
    phrases = (*COLOURS, *SHAPES, *BACKGROUNDS, *MOTIONS, *SIZES)
    return {word for phrase in phrases for word in phrase.split()}


def unknown(prompt: str) -> list[str]:
    """The words of a prompt that Wan-Nano does not know, each once, in their order; case says nothing."""
    known = own_words() | set(AROUND) | {""}
    words = (word.rstrip(MARKS) for word in prompt.lower().split())
    return list(dict.fromkeys(word for word in words if word not in known))


def notice(prompt: str) -> str | None:
    """What to say of a prompt with unknown words; None where there is none."""
    words = unknown(prompt)
    if not words:
        return None
    named = ", ".join(word if len(word) <= 24 else f"{word[:24]}…" for word in words[:NAMED])
    more = f" and {len(words) - NAMED} more" if len(words) > NAMED else ""
    return (
        f"Wan-Nano does not know: {named}{more}. It knows colours ({', '.join(COLOURS)}), shapes "
        f"({', '.join(SHAPES)}), motions ({', '.join(MOTIONS)}) and backgrounds ({', '.join(BACKGROUNDS)})."
    )
