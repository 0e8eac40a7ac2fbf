"""Attention in integers stays near the exact one, and is taken where a card has it and gives what it should."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from common.runtime.fast import attention, integers
from tests.common.runtime.fast.test_attention import error, inputs


@pytest.fixture(autouse=True)
def unasked() -> Any:
    """No test knows what another was told of its card."""
    integers.works.cache_clear()
    yield
    integers.works.cache_clear()


@pytest.fixture
def kitchen(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The package, as it is called; the shapes that it was given."""
    seen: list[tuple[int, ...]] = []

    def int8_attention(q: Any, k: Any, v: Any, *, scale: float | None = None, attn_mask: Any = None) -> Any:
        assert scale is None and attn_mask is None and all(x.stride(-1) == 1 for x in (q, k, v))
        seen.append(tuple(q.shape))
        return integers.emulated(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)

    monkeypatch.setitem(sys.modules, integers.KITCHEN, SimpleNamespace(int8_attention=int8_attention))
    return seen


def card(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    own = integers.right
    monkeypatch.setattr(integers, "right", lambda _: own("cpu"))


@pytest.mark.parametrize("seen", [300, 40])
def test_integers_are_near(seen: int) -> None:
    given = inputs(seen=seen)
    wanted = attention.plain(*given)
    assert 0 < error(integers.emulated(*given), wanted) < 0.1


def test_a_blackwell_calls_the_kernel_by_heads(kitchen: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    card(monkeypatch, (12, 0))
    given = inputs()
    made = integers.kernel()(*given, torch.empty(0), (torch.ones(1), torch.ones(1)))
    assert torch.equal(made, integers.emulated(*given)) and made.shape == given[0].shape
    assert kitchen == [(1, 2, 256, 128), (2, 3, 300, 64)], "tried once, then asked"
    integers.kernel()(*given, torch.empty(0), (torch.ones(1), torch.ones(1)))
    assert len(kitchen) == 3


@pytest.mark.parametrize("capability", [(8, 9), (9, 0), (10, 0)])
def test_other_cards_are_not_even_tried(
    capability: tuple[int, int], kitchen: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    card(monkeypatch, capability)
    given = inputs()
    made = integers.kernel()(*given, torch.empty(0), (torch.ones(1), torch.ones(1)))
    assert torch.equal(made, attention.plain(*given)) and not kitchen
    assert integers.works(capability), "a benchmark may ask for it there"


def wrong(*given: Any) -> Any:
    return given[0] * 0


def too_old(*_: Any) -> Any:
    raise RuntimeError("CUDA driver version is insufficient")


@pytest.mark.parametrize(
    ("attend", "why"),
    [
        (wrong, "1.00 from PyTorch's own"),
        (too_old, "driver version"),
        (None, "import of comfy_kitchen halted"),
    ],
)
def test_a_kernel_that_fails_its_trial_is_left_out_and_the_log_says_why(
    attend: Any, why: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    card(monkeypatch, (12, 0))
    module: Any = SimpleNamespace(int8_attention=attend) if attend else None
    monkeypatch.setitem(sys.modules, integers.KITCHEN, module)  # None: an import that fails
    given = inputs()
    for _ in range(2):
        made = integers.kernel()(*given, torch.empty(0), (torch.ones(1), torch.ones(1)))
        assert torch.equal(made, attention.plain(*given))
    assert why in caplog.text and caplog.text.count("left out") == 1


@pytest.mark.parametrize(
    ("capability", "there", "may"),
    [(None, True, True), ((12, 0), True, True), ((12, 1), True, True), ((9, 0), True, False), ((10, 0), True, False),
     (None, False, False), ((12, 0), False, False)],
)  # fmt: skip
def test_it_may_work_where_it_is_installed_on_a_card_that_has_it_or_is_not_known(
    capability: tuple[int, int] | None, there: bool, may: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(integers, "KITCHEN", "json" if there else "not_there")
    assert integers.may_work(capability) == may


def test_without_a_card_there_is_none(kitchen: list[Any]) -> None:
    assert not integers.works() and not kitchen
