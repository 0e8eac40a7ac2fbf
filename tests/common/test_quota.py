"""What is read of ZeroGPU's refusals, and how long it is believed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import spaces
from common.errors import StudioError
from common.quota import TITLE, Left, Quotas, said

REFUSED = "You have exceeded your free ZeroGPU quota (90s requested vs. 32s left). Try again in 3:12:05. "


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (REFUSED, Left(32, 3 * 3600 + 12 * 60 + 5)),
        (REFUSED.replace("3:12:05", "1 day, 0:00:01"), Left(32, 86_401)),
        (REFUSED.replace("3:12:05", "0:05:00.123456"), Left(32, 300)),
        (REFUSED.replace("3:12:05", "99999999 days, 0:00:00"), Left(32, 30 * 86_400)),
        ("You have exceeded your ZeroGPU runs limit. ", None),
        ("Space app has reached its GPU limit. ", None),
        ("(90s requested vs. 32s left). Try again later", None),
    ],
)  # fmt: skip
def test_seconds_left_and_until_when(text: str, left: Left | None) -> None:
    assert said(StudioError(text, title=TITLE), 0.0) == left
    assert said(StudioError(text), 0.0) is None, "no other error says so"


def test_spaces_still_says_it_in_these_words() -> None:
    source = (Path(spaces.__file__).parent / "zero" / "client.py").read_text("utf-8")
    for part in (f'"{TITLE}"', "s requested vs. {res.left}s left). ", "Try again in {res.wait}. "):
        assert re.search(re.escape(part), source), part


def test_each_visitor_is_told_his_own_until_it_no_longer_holds() -> None:
    now = [1000.0]
    quotas = Quotas(lambda: now[0])
    quotas.hear("a", StudioError(REFUSED, title=TITLE))
    quotas.hear(None, StudioError(REFUSED, title=TITLE))
    quotas.hear("b", StudioError("other"))
    left = quotas.of("a")
    assert left and left.seconds == 32 and quotas.of("b") is quotas.of(None) is None
    assert left.words(now[0]) == (
        "When it last refused, the Hub said that 32 s of your day are left, and more in 3 h."
    )
    now[0] = left.until
    assert quotas.of("a") is None


def test_the_oldest_are_forgotten() -> None:
    quotas = Quotas(lambda: 0.0)
    for i in range(1001):
        quotas.hear(str(i), StudioError(REFUSED, title=TITLE))
    assert quotas.of("0") is None and quotas.of("1000")
