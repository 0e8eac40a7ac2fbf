"""Whose a job is: everybody's own on a hosted Studio, nobody else's than the user's on a machine of one's own."""

from __future__ import annotations

import pytest

from common.errors import InputError
from router.visitors import OWN, owner_of

SECRET = "0123456789abcdef" * 2


def test_a_browser_is_known_by_its_secret_which_is_not_kept() -> None:
    owner = owner_of(SECRET, personal=False)
    assert owner == owner_of(SECRET, personal=False) != owner_of(SECRET[::-1], personal=False)
    assert owner and SECRET not in owner


def test_who_shows_no_secret_owns_nothing() -> None:
    assert owner_of("", personal=False) is None is owner_of(None, personal=False)


@pytest.mark.parametrize("visitor", ["me", SECRET.upper(), SECRET + "\n", "0" * 10_000, 7, ["a"], True, {"a": 1}])
def test_a_secret_that_no_page_draws_is_refused(visitor: object) -> None:
    with pytest.raises(InputError, match="visitor must be 32"):
        owner_of(visitor, personal=False)


def test_on_ones_own_machine_all_is_ones_own() -> None:
    assert owner_of(SECRET, personal=True) == owner_of("", personal=True) == OWN
