"""The rule-based expander: camera, light, motion and style, where a prompt says nothing of them yet."""

from __future__ import annotations

import hashlib

from common.enhance import nano
from common.enhance.asked import CJK, MAX_CHARACTERS, Ask, Axis, Enhanced, fits
from common.enhance.phrases import phrases, said

BY = "rules"
"""Who wrote it, where no model did."""
NOTHING_NEW = "The prompt says all of it already; there is nothing to add."
NANO_NEEDS_NONE = "Wan-Nano reads the rest from what you give it; here it needs no more words."
LONG_ENOUGH = "The prompt is long enough already; a longer one would not be followed."
_ENDS = ".!?。！？…"
_COMMAS = ",;，、；"


def expand(ask: Ask, variant: int = 0) -> Enhanced:
    """The same prompt and `variant` always give the same answer; the user's own words stay as they are."""
    prompt = ask.prompt.strip()
    if len(prompt) > MAX_CHARACTERS or not fits(prompt):
        return Enhanced(ask.prompt, BY, LONG_ENOUGH)
    picks = _picks(f"{ask.mode} {prompt.lower()}", variant)
    if ask.weights == "nano":
        text = nano.complete(ask, picks)
        unchanged = NOTHING_NEW if nano.added(ask) else NANO_NEEDS_NONE
        return Enhanced(text, BY, "" if text != prompt else unchanged)
    text = prompt
    missing: list[Axis] = [axis for axis in ask.axes if not said(axis, prompt)]
    added: list[str] = []
    for axis, pick in zip(missing, picks, strict=False):
        choice = phrases(ask.mode, ask.language, axis)
        longer = _joined(prompt, [*added, choice[pick % len(choice)]], ask.language == "zh")
        if fits(longer):
            added.append(choice[pick % len(choice)])
            text = longer
    return Enhanced(text, BY, "" if added else LONG_ENOUGH if missing else NOTHING_NEW)


def _picks(seed: str, variant: int) -> list[int]:
    digest = hashlib.sha256(seed.encode("utf-8", "replace")).digest()
    return [byte + variant for byte in digest[:4]]


def _joined(prompt: str, added: list[str], chinese: bool) -> str:
    """A sentence that has ended is followed by one, any other goes on after a comma."""
    comma, stop = ("，", "。") if chinese else (", ", ".")
    more = comma.join(added)
    if prompt[-1] in _ENDS:
        gap = "" if CJK.search(prompt[-2:]) and chinese else " "
        return f"{prompt}{gap}{more[0].upper()}{more[1:]}{stop}"
    if prompt[-1] in _COMMAS:
        return f"{prompt}{'' if chinese else ' '}{more}"
    if chinese and not CJK.match(prompt[-1]):
        comma = ", "  # after Latin letters
    return f"{prompt}{comma}{more}"
