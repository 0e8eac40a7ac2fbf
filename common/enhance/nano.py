"""A prompt for Wan-Nano completed with the words that it knows: a colour, a motion, a background."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from common.contract import ModeKey
from common.enhance.asked import Ask
from common.nano_words import BACKGROUNDS, COLOURS, MARKS, MOTIONS, SHAPES

_ADDS: Mapping[ModeKey, frozenset[str]] = {
    "t2v": frozenset({"colour", "motion", "background"}),
    "i2v": frozenset({"motion"}),  # colour and background are the picture's
    "flf2v": frozenset(),  # which motion it is, both pictures show
    "v2v": frozenset({"colour", "background"}),
    "vace": frozenset({"colour", "background"}),
    "s2v": frozenset(),
    "animate": frozenset(),
}
_COLOURS = tuple(c for c in COLOURS if c[0] not in "aeiou")  # they may follow an "a"
_MOVES = {word for motion in MOTIONS for word in motion.split()} - {"left", "right", "up", "down"} | {"moves"}


def complete(ask: Ask, pick: Sequence[int]) -> str:
    """The prompt with what is missing of a whole sentence of nano's world; a user's own words stay where they are.

    `pick` has a number for each of colour, motion, background and shape, by which one is taken.
    """
    prompt, adds = ask.prompt.strip(), added(ask)
    known = _words(prompt)
    colour = _COLOURS[pick[0] % len(_COLOURS)]
    motion = MOTIONS[pick[1] % len(MOTIONS)]
    background = BACKGROUNDS[pick[2] % len(BACKGROUNDS)]
    shape = next((word for word in known if word in SHAPES), None)
    if shape is None:
        if not {"colour", "motion"} & adds:
            return prompt
        what = f"a {colour} {SHAPES[pick[3] % len(SHAPES)]}" if "colour" in adds else ""
        if "motion" in adds and not _MOVES & set(known):
            what = f"{what} {motion}".strip()
        prompt = _after(prompt, f", {what}" if what else "")
    else:
        if "motion" in adds and not _MOVES & set(known):
            prompt = _beside(prompt, shape, after=f" {motion}")
        if "colour" in adds and not set(COLOURS) & set(known):
            prompt = _beside(prompt, shape, before=f"{colour} ")
    if "background" in adds and not {*BACKGROUNDS, "background"} & set(known):
        prompt = _after(prompt, f" on a {background} background")
    return prompt


def added(ask: Ask) -> frozenset[str]:
    """What may be missing in a mode: the rest is shown by its media."""
    adds = _ADDS[ask.mode]
    if ask.mode == "vace" and ask.family in ("Extend", "Reference"):
        adds = frozenset({"motion"}) if ask.family == "Extend" else _ADDS["t2v"]
    return adds - {"motion"} if ask.still else adds


def _words(prompt: str) -> list[str]:
    return [word.rstrip(MARKS) for word in prompt.lower().split()]


def _beside(prompt: str, shape: str, *, before: str = "", after: str = "") -> str:
    return re.sub(rf"\b({shape})\b", rf"{before}\1{after}", prompt, count=1, flags=re.IGNORECASE)


def _after(prompt: str, more: str) -> str:
    """Before the mark that ends a prompt."""
    body = prompt.rstrip(MARKS + " ")
    return f"{body}{more}{prompt[len(body) :].strip()}"
