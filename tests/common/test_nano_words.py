"""Under Wan-Nano a prompt's unknown words are named before anything runs; the real models hear nothing of it."""

import pytest

from common import nano_words
from common.modes.all import MODES

T2V = MODES["t2v"]


def said(prompt: str, weights: str = "nano") -> list[str]:
    notices = T2V.plan(T2V.parse({"prompt": prompt}), weights=weights).notices
    return [text for text in notices if "does not know" in text]


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("A fox runs through the snow", "fox, runs, through, snow"),
        ("a red circle 🎬", "🎬"),
        ("狐狸 in the snow, snow!", "狐狸, snow"),
        (
            "one two three four five six seven eight nine ten",
            "one, two, three, four, five, six, seven, eight and 2 more",
        ),
    ],
)
def test_unknown_words_are_named_with_those_that_are_known(prompt: str, words: str) -> None:
    (text,) = said(prompt)
    assert text.startswith(f"Wan-Nano does not know: {words}. It knows colours (red, ")
    assert "shapes (circle, " in text and "motions (moving left, " in text
    assert not said(prompt, "wan")


def test_known_words_and_every_example_and_placeholder_say_nothing() -> None:
    assert not said("A Red CIRCLE, slowly moving right on a black background.")
    for mode in MODES.values():
        for prompt in [mode.nano_placeholder, *(e.values.get("prompt", "") for e in mode.nano_examples)]:
            assert nano_words.notice(prompt) is None
