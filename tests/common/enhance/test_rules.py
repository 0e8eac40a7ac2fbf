"""What the rules add to a prompt, and that they keep what its writer said."""

from __future__ import annotations

import pytest

from common import nano_words
from common.enhance import asked, rules
from common.enhance.asked import CJK, MAX_WORDS, Ask, fits, words
from common.enhance.phrases import GENERAL, OWN, phrases, said
from common.modes.all import MODES
from common.modes.submodes import FAMILIES

FOX = "a fox in the snow"


def wan(prompt: str, mode: str = "t2v", **more: object) -> Ask:
    return Ask(prompt, mode, "wan", **more)  # type: ignore[arg-type]


def test_the_same_prompt_has_the_same_answer_and_a_second_click_another() -> None:
    first, again, other = (rules.expand(wan(FOX), variant).text for variant in (0, 0, 1))
    assert first == again != other
    assert first.startswith(FOX) and other.startswith(FOX)


def test_all_four_are_added_where_a_prompt_says_nothing_of_them() -> None:
    text = rules.expand(wan(FOX)).text
    for axis in GENERAL["en"]:
        assert any(phrase in text for phrase in GENERAL["en"][axis]), axis


@pytest.mark.parametrize(
    ("prompt", "axis"),
    [
        ("a fox running", "motion"), ("the door opens", "motion"), ("close-up of a fox", "camera"),
        ("drone view of a fox", "camera"), ("a fox at night", "light"), ("a sunlit fox", "light"),
        ("watercolour of a fox", "style"), ("anime fox", "style"), ("一只狐狸在奔跑", "motion"), ("特写", "camera"),
        ("夜晚的狐狸", "light"), ("水彩狐狸", "style"),
    ],
)  # fmt: skip
def test_what_a_prompt_says_already_is_not_said_again(prompt: str, axis: str) -> None:
    language = "zh" if CJK.search(prompt) else "en"
    assert said(axis, prompt)  # type: ignore[arg-type]
    text = rules.expand(wan(prompt)).text
    assert not any(phrase in text for phrase in GENERAL[language][axis])  # type: ignore[index]


@pytest.mark.parametrize("prompt", ["a red building", "a king with a ring", "morning coffee", "a string"])
def test_what_ends_in_ing_is_not_always_done(prompt: str) -> None:
    assert not said("motion", prompt)


@pytest.mark.parametrize("mode", [m for m in MODES if m != "t2v"])
def test_a_mode_says_nothing_of_what_its_media_show(mode: str) -> None:
    text = rules.expand(wan("a fox", mode, family="Extend" if mode == "vace" else "")).text
    others = {"v2v": ("motion", "camera"), "animate": ("camera", "style")}
    silent = others.get(mode, ("light", "style"))
    assert text != "a fox"
    for axis in silent:
        assert not any(p in text for p in phrases(mode, "en", axis)), axis  # type: ignore[arg-type]


def test_s2v_speaks_of_a_speaker() -> None:
    text = rules.expand(wan("a woman", "s2v")).text
    assert any(phrase in text for phrase in OWN["s2v"]["en"]["motion"])


def test_each_family_of_vace_has_something_to_say() -> None:
    assert tuple(asked.FAMILIES) == FAMILIES
    for family in FAMILIES:
        assert rules.expand(wan("a fox", "vace", family=family)).text != "a fox", family


def test_a_still_does_not_move() -> None:
    text = rules.expand(wan(FOX, still=True)).text
    assert not any(phrase in text for phrase in GENERAL["en"]["motion"])


def test_flf2v_is_completed_in_chinese_and_keeps_the_words_of_its_writer() -> None:
    words_of = "A penguin on the ice"
    text = rules.expand(wan(words_of, "flf2v", checkpoint="wan2.1-flf2v-14b-720p")).text
    assert text.startswith(words_of) and CJK.search(text)
    assert not CJK.search(rules.expand(wan(words_of, "flf2v", checkpoint="wan2.2-i2v-a14b")).text)
    assert CJK.search(rules.expand(wan("冰上的企鹅", "flf2v", checkpoint="wan2.2-i2v-a14b")).text[6:])


@pytest.mark.parametrize(
    ("prompt", "begins"),
    [
        ("a fox", "a fox, "),
        ("A fox.", "A fox. "),
        ("a fox,", "a fox, "),
        ("一只狐狸", "一只狐狸，"),
        ("狐狸。", "狐狸。"),
    ],
)
def test_a_sentence_that_has_ended_is_followed_by_one(prompt: str, begins: str) -> None:
    text = rules.expand(wan(prompt)).text
    assert text.startswith(begins)
    if prompt == "A fox.":
        assert text[len(begins)].isupper() and text.endswith(".")
    assert ",," not in text and ", ," not in text


def test_a_long_prompt_is_left_alone_and_none_grows_beyond_what_is_followed() -> None:
    long = "fox " * MAX_WORDS
    kept = rules.expand(wan(long + "fox"))
    assert (kept.text, kept.note) == (long + "fox", rules.LONG_ENOUGH)
    for count in range(60, MAX_WORDS + 1, 4):
        assert fits(rules.expand(wan("fox " * count)).text)
    assert words("一只狐狸 runs") == 3
    huge = "a " * 10_000
    assert rules.expand(wan(huge)).text == huge


def test_a_prompt_that_says_all_is_told_so() -> None:
    whole = "a fox running, close-up, at night, anime"
    assert rules.expand(wan(whole)) == rules.Enhanced(whole, rules.BY, rules.NOTHING_NEW)


# ------------------------------------------------------------------ Wan-Nano


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize(
    "prompt",
    ["a circle", "star.", "a fox in the snow", "the large square on the left", "a red circle", "Triangle, spinning",
     "a circle on a navy background", "a star moves", MODES["t2v"].nano_placeholder],
)  # fmt: skip
def test_nano_is_given_words_that_it_knows(mode: str, prompt: str) -> None:
    for variant in range(9):
        text = rules.expand(Ask(prompt, mode), variant).text  # type: ignore[arg-type]
        assert nano_words.unknown(text) == nano_words.unknown(prompt)
        kept = iter(text.replace(",", "").replace(".", "").lower().split())
        assert all(word in kept for word in prompt.replace(",", "").replace(".", "").lower().split()), text


def test_nano_gets_a_whole_sentence() -> None:
    text = rules.expand(Ask("a circle", "t2v")).text
    colour, background = text.split()[1], text.split()[-2]
    assert colour in nano_words.COLOURS and background in nano_words.BACKGROUNDS
    assert any(f"circle {motion} on a" in text for motion in nano_words.MOTIONS)


@pytest.mark.parametrize(
    ("mode", "prompt"), [("i2v", "the circle"), ("flf2v", "a circle"), ("s2v", "a star")]
)
def test_nano_is_not_told_what_its_media_show(mode: str, prompt: str) -> None:
    text = rules.expand(Ask(prompt, mode)).text  # type: ignore[arg-type]
    assert not {*nano_words.COLOURS, *nano_words.BACKGROUNDS} & set(text.split())


def test_nothing_is_added_to_a_whole_nano_sentence() -> None:
    whole = MODES["t2v"].nano_placeholder
    assert rules.expand(Ask(whole, "t2v")) == rules.Enhanced(whole, rules.BY, rules.NOTHING_NEW)
    assert rules.expand(Ask("a star", "s2v")).note == rules.NANO_NEEDS_NONE
