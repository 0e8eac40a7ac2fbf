"""How often a model is asked, whoever asks."""

from __future__ import annotations

import pytest

from common.enhance.allowance import AT_ONCE, DAY, MINUTE, Allowance, Spent


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def ask(allowance: Allowance, page: str = "a") -> None:
    with allowance.one(page):
        pass


def test_a_few_a_minute_for_each_page() -> None:
    clock = Clock()
    allowance = Allowance(2, 100, clock)
    ask(allowance)
    ask(allowance)
    with pytest.raises(Spent, match="2 times a minute"):
        ask(allowance)
    ask(allowance, "b")
    clock.now = MINUTE
    ask(allowance)


def test_one_at_a_time_for_a_page_also_after_a_failure() -> None:
    allowance = Allowance(9, 100)
    with allowance.one("a"):
        with pytest.raises(Spent, match="busy"):
            ask(allowance)
        ask(allowance, "b")
    with pytest.raises(ValueError), allowance.one("a"):
        raise ValueError
    ask(allowance)


def test_who_names_a_new_page_each_time_is_bounded_too() -> None:
    clock = Clock()
    allowance = Allowance(2, 5, clock)
    for i in range(5):
        ask(allowance, str(i))
    with pytest.raises(Spent, match="in a day"):
        ask(allowance, "new")
    clock.now = DAY
    ask(allowance, "new")
    many = Allowance(9, 1000)
    open_ones = [many.one(str(i)) for i in range(AT_ONCE)]
    for one in open_ones:
        one.__enter__()
    with pytest.raises(Spent, match="busy"):
        ask(many, "new")
    for one in open_ones:
        one.__exit__(None, None, None)
    ask(many, "new")
