"""What goes wrong at the Hub is said in words, with a way out that fits what was asked for."""

from __future__ import annotations

import errno

import pytest

from common import hub
from common.errors import WeightsError


def test_each_failure_has_its_own_way_out():
    said = hub.explain(OSError(errno.ENOSPC, "No space left"), "LoRA", "a/b")
    assert "is full" in said.text
    assert "cannot be reached (TimeoutError)" in hub.explain(TimeoutError(), "LoRA", "a/b").text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("GatedRepoError", "gated"),
        ("RepositoryNotFoundError", "does not exist"),
        ("RemoteEntryNotFoundError", "renamed"),
    ],
)
def test_hub_answers_are_explained(name, text):
    from huggingface_hub import errors

    kind = getattr(errors, name)
    assert text in hub.explain(kind.__new__(kind), "LoRA", "a/b").text


def test_the_way_out_is_the_askers_own_and_what_is_known_stays():
    with (
        pytest.raises(WeightsError, match="check the network, or draw it yourself"),
        hub.explained("A pose model", "a/b", "draw it yourself"),
    ):
        raise TimeoutError
    with pytest.raises(WeightsError, match="no room") as told, hub.explained("A pose model", "a/b"):
        raise WeightsError("no room")
    assert told.value.text == "no room"
