"""Attention in 8 bits stays near the exact one, whatever stands out in its inputs."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from common.runtime.fast import attention


def inputs(tokens: int = 300, seen: int = 300, dim: int = 64) -> tuple[torch.Tensor, ...]:
    """Query, key, value with channels that stand out and a mean that keys share, as in real models."""
    one = torch.Generator().manual_seed(4)
    query, key, value = (torch.randn(2, n, 3, dim, generator=one) for n in (tokens, seen, seen))
    key[..., :3] *= 8
    return query, key + 4 * torch.randn(1, 1, 3, dim, generator=one), value


def most(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """How long they are, with room for as much again."""
    return 2 * query.norm(dim=-1).amax(), 2 * key.norm(dim=-1).amax()


def error(made: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((made - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("seen", [300, 40])
def test_8_bits_are_near(seen: int) -> None:
    given = inputs(seen=seen)
    wanted = attention.plain(*given)
    assert wanted.shape == given[0].shape
    assert 0 < error(attention.emulated_in_8_bits(*given, attention.rotation(64), most(*given)), wanted) < 0.1


def test_without_the_rotation_more_is_lost() -> None:
    given = inputs()
    wanted = attention.plain(*given)
    ways = attention.rotation(64), torch.eye(64)
    turned, plain = (attention.emulated_in_8_bits(*given, m, most(*given)) for m in ways)
    assert error(plain, wanted) > 1.1 * error(turned, wanted)


@pytest.mark.parametrize("weight", [0.01, 1.0, 40.0])
def test_no_vector_is_too_long_for_its_scale(weight: float) -> None:
    norm = torch.nn.RMSNorm(4 * 64)
    norm.weight.data = weight * torch.randn(4 * 64, generator=torch.Generator().manual_seed(1))
    one = torch.zeros(1, 8, 4 * 64)
    one[:, :, norm.weight.abs().argmax()] = torch.tensor([1.0, -1, 1, 1, 1, 1, 1, -1])  # all there is in one channel
    given = norm(one).unflatten(2, (4, 64)).detach()
    limit = attention.longest(norm).detach()
    assert torch.isclose(given.norm(dim=-1).amax(), limit, rtol=1e-3)
    turn = torch.eye(64)  # nothing is spread: the worst that can be
    eight, scales = attention.in_8_bits(given, given, given, turn, (limit, limit))
    for x, scale, wanted in zip(eight, scales, (given, given - given.mean(1, keepdim=True), given), strict=True):
        assert torch.allclose(x.float() * scale[:, None, :, None], wanted, rtol=0.07)


@pytest.mark.parametrize("size", [64, 128, 24])
def test_a_rotation_changes_no_length(size: int) -> None:
    made = attention.rotation(size)
    assert torch.allclose(made @ made.T, torch.eye(size), atol=1e-5)


def test_the_kernel_is_given_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = inputs()
    asked: dict[str, Any] = {}

    def flash_attn_func(q: Any, k: Any, v: Any, **scales: Any) -> Any:
        if not scales:
            return attention.plain(q, k, v)
        asked.update(q=q, k=k, v=v, **scales)
        whole = [x.float() * s[:, None, :, None] for x, s in zip((q, k, v), scales.values(), strict=True)]
        return attention.plain(*whole), None

    monkeypatch.setitem(sys.modules, attention.FA3, SimpleNamespace(flash_attn_func=flash_attn_func))
    exact, rounded = attention.fa3()
    made = rounded(query, key, value, attention.rotation(64), most(query, key, value))
    assert error(made, attention.plain(query, key, value)) < 0.1
    assert torch.equal(exact(query, key, value), attention.plain(query, key, value))
    assert {asked[n].dtype for n in "qkv"} == {torch.float8_e4m3fn}
    assert {tuple(asked[f"{n}_descale"].shape) for n in "qkv"} == {(2, 3)}


@pytest.mark.parametrize("capability", [None, (8, 9), (12, 0)])
def test_only_hopper_is_told_to_be_fast(capability: tuple[int, int] | None) -> None:
    assert not attention.has_fa3(capability) and not attention.compiles(capability)


def test_without_a_compiler_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention.importlib.util, "find_spec", lambda name: object())
    assert attention.compiles((9, 0)) and attention.has_fa3((9, 0))
    monkeypatch.setattr(attention.shutil, "which", lambda name: None)
    assert not attention.compiles((9, 0))
