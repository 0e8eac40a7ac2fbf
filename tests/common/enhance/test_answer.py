"""What a model answers, held against the rules of a prompt."""

from __future__ import annotations

import pytest

from common.enhance.answer import Unfit, prompt_of
from common.enhance.asked import Ask

ASK = Ask("a fox", "t2v", "wan")
GOOD = "A fox runs, slow push-in, soft light."


@pytest.mark.parametrize(
    "answer",
    [
        GOOD, f"  {GOOD}\n", f'"{GOOD}"', f"“{GOOD}”", f"Sure, here is your enhanced prompt:\n\n{GOOD}",
        f"Certainly! Here's the prompt: {GOOD}", f"**Enhanced prompt:** {GOOD}", f"Prompt: {GOOD}",
        f"<think>The user wants\na fox</think>\n{GOOD}", f"**{GOOD}**", f"Here is the prompt:\nPrompt: {GOOD}",
    ],
)  # fmt: skip
def test_what_stands_around_a_prompt_is_taken_away(answer: str) -> None:
    assert prompt_of(answer, ASK) == GOOD


def test_words_in_quotes_and_colons_stay() -> None:
    for text in ('A sign says "OPEN", neon', '"One", she says, "two"', "A fox: red, alone, at night"):
        assert prompt_of(text, ASK) == text


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "empty"), ("<think>only this</think>", "empty"), ("One.\n\nTwo.", "paragraph"), ("a\0fox", "characters"),
        ("a \u202efox", "characters"), ("- a fox", "plain"), ("# A fox", "plain"), ("a **red** fox", "plain"),
        ("1. A fox", "plain"), ("a `fox`", "plain"), ("[a fox](http://x.org)", "plain"), ("<b>a fox</b>", "plain"),
        ("I'm sorry, I can't help with that.", "no prompt"), ("word " * 101, "too long"), ("狐" * 201, "too long"),
        ("!" * 600, "too long"),
    ],
)  # fmt: skip
def test_what_is_no_prompt_is_refused(answer: str, why: str) -> None:
    with pytest.raises(Unfit, match=why):
        prompt_of(answer, ASK)


def test_flf2v_wants_chinese() -> None:
    ask = Ask("a penguin", "flf2v", "wan", "wan2.1-flf2v-14b-720p")
    with pytest.raises(Unfit, match="Chinese"):
        prompt_of(GOOD, ask)
    assert prompt_of("一只企鹅展翅起飞", ask) == "一只企鹅展翅起飞"
