"""The words that a proposal adds and takes away."""

import re

import pytest

from common.enhance import diff


def test_added_words_are_marked() -> None:
    assert diff.words("a fox", "a red fox, at night") == "a <ins>red </ins>fox<ins>, at night</ins>"


def test_changed_words_are_struck_before_the_new_ones() -> None:
    assert diff.words("the old fox", "the young fox") == "the <del>old</del><ins>young</ins> fox"


def test_chinese_is_read_by_characters() -> None:
    assert diff.words("一只狐狸", "一只红狐狸") == "一只<ins>红</ins>狐狸"


@pytest.mark.parametrize("text", ["a don't-stop fox!  <b>\n x", "一只fox，动", "", "👩‍🚀 é\u0301"])
def test_tokens_are_the_text_again(text: str) -> None:
    assert "".join(diff.tokens(text)) == text


def test_no_markup_of_a_stranger_is_ours() -> None:
    page = diff.words("<script>alert(1)</script>", '<img src=x onerror="alert(1)"> & "more"')
    assert set(re.findall(r"<[^>]*>", page)) == {"<ins>", "</ins>", "<del>", "</del>"}
    assert '"' not in page
