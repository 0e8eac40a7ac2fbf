"""The limits: defaults, a deployer's own, and a value that makes no sense."""

import pytest

from common.budgets import Budgets
from common.errors import InputError


def test_a_variable_changes_one_limit_alone() -> None:
    changed = Budgets.from_env({"WAN_LIMIT_CLIP_SECONDS": " 30 "})
    assert changed.clip_seconds == 30
    assert changed.clip_frames == Budgets().clip_frames


@pytest.mark.parametrize("text", ["many", "-1", "0", "1.5", "٣"])
def test_a_limit_that_is_no_whole_number_is_told_by_its_name(text: str) -> None:
    with pytest.raises(InputError, match="WAN_LIMIT_QUEUE_LENGTH must be a whole number of jobs"):
        Budgets.from_env({"WAN_LIMIT_QUEUE_LENGTH": text})
