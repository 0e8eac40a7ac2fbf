"""A device that computes wrong is found out by what it makes, and then helped or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from common.errors import GpuError
from common.memory import SCORES
from common.runtime.sample import selfcheck, stages
from common.runtime.sample.attention import InPieces
from common.runtime.sample.selfcheck import Verdict, examine

SMALL = {"whole": 2**16, "beyond": 2**18}
"""Scores of what is compared whole, and in pieces: a CPU need not show what happens beyond 2**31."""


class Broken(TorchFunctionMode):
    """A device on which one function gives noise from a size on."""

    def __init__(self, function: Callable[..., Any], from_elements: int = 0, noise: float = 1.0) -> None:
        super().__init__()
        self.function, self.from_elements, self.noise = function, from_elements, noise

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is not self.function or made.numel() < self.from_elements:
            return made
        return made + self.noise * made.std() * torch.randn_like(made)


def test_mps_selfcheck_of_a_device_that_computes_right_changes_nothing() -> None:
    verdict = examine("cpu", **SMALL)
    assert verdict.limit == SMALL["whole"]
    assert [f.part for f in verdict.findings] == [
        "attention", "attention of many tokens", "the transformer", "the 2.1 VAE's encoder", "the 2.1 VAE's decoder",
        "the 2.2 VAE's encoder", "the 2.2 VAE's decoder",
    ]  # fmt: skip
    assert 0 < max(f.error for f in verdict.findings) < selfcheck.ALLOWED / 4, "room for a GPU's own rounding"


@pytest.mark.parametrize("from_elements", [0, 8 * 90 * 128], ids=["always", "large ones"])
def test_mps_selfcheck_takes_attention_in_pieces_where_its_own_is_wrong(from_elements: int) -> None:
    broken = functional.scaled_dot_product_attention
    verdict = examine("cpu", lambda: Broken(broken, from_elements), **SMALL)
    assert verdict.limit == 0


def test_mps_selfcheck_refuses_where_pieces_do_not_help() -> None:
    with pytest.raises(GpuError) as told:
        examine("cpu", lambda: Broken(torch.conv3d), **SMALL)
    text = told.value.text
    for word in ("2.1 VAE's decoder", "%", f"torch {torch.__version__}", "Update macOS", "WAN_DEVICE=cpu"):
        assert word in text
    assert "transformer" in text, "it makes its patches by a convolution"
    assert "attention" not in text


def test_mps_selfcheck_refuses_what_a_device_lacks() -> None:
    class Lacks(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is functional.gelu:
                raise NotImplementedError("aten::gelu is not implemented for MPS")
            return func(*args, **(kwargs or {}))

    with pytest.raises(GpuError, match="the transformer fails"):
        examine("cpu", Lacks, **SMALL)


def test_mps_selfcheck_sees_numbers_that_are_none() -> None:
    with pytest.raises(GpuError, match="VAE's decoder fails or is not a number"):
        examine("cpu", lambda: Broken(torch.conv3d, noise=float("nan")), **SMALL)


def test_mps_selfcheck_leaves_the_random_numbers_alone() -> None:
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    examine("cpu", **SMALL)
    assert torch.equal(torch.rand(4), wanted)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Devices that were examined; each has wrong attention."""
    seen: list[str] = []

    def found(device: str) -> Verdict:
        seen.append(device)
        return Verdict(0, ())

    monkeypatch.setattr(selfcheck, "examine", found)
    selfcheck.verdict.cache_clear()
    yield seen
    selfcheck.verdict.cache_clear()


def test_mps_selfcheck_is_made_once_and_for_apples_gpus_alone(looked_at: list[str]) -> None:
    said: list[str] = []
    for device in ("cuda", "cpu", "mps", "mps"):
        selfcheck.before_loading(device, said.append)
    assert looked_at == ["mps"]
    assert len(said) == 2 and "in pieces" in said[0]


def test_mps_selfcheck_decides_how_attention_is_computed(looked_at: list[str]) -> None:
    mode = stages.attending(None, "mps")
    assert isinstance(mode, InPieces) and mode.limit == 0 and mode.piece == SCORES
    assert not isinstance(stages.attending(None, "cpu"), InPieces)


def test_mps_selfcheck_comes_before_a_model_is_looked_for(t2v: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(device: str) -> Verdict:
        raise GpuError(f"{device} is wrong")

    monkeypatch.setattr(selfcheck, "examine", refused)
    monkeypatch.setattr(t2v, "backend", t2v.backend.model_copy(update={"device": "mps"}))
    t2v.seat.residency.unload()
    placed = t2v.plan(t2v.mode.parse({"prompt": "a"})).placement
    with pytest.raises(GpuError, match="mps is wrong"):
        t2v._pipe("wan2.2-t2v-a14b", placed, print)
    assert t2v.seat.residency.key is None
