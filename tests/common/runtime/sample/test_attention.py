"""Attention in pieces gives what attention gives, and no product in it is larger than its piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from common.run.service import Ready
from common.runtime.engine import Engine
from common.runtime.job import Job
from common.runtime.sample.attention import InPieces, attend

PIECE = 3000


def made(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def three(queries: int, keys: int, heads: int = 3, batch: int = 2, dtype: torch.dtype = torch.float32) -> Any:
    shapes = ((batch, heads, queries, 16), (batch, heads, keys, 16), (batch, heads, keys, 16))
    return [3 * made(*shape, dtype=dtype, seed=i) for i, shape in enumerate(shapes)]


class Products(TorchDispatchMode):
    """The most scores that were there at once: what keys are multiplied to, and what multiplies values."""

    def __init__(self, dim: int = 16) -> None:
        super().__init__()
        self.dim, self.largest = dim, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.bmm.default:
            scores = [x.numel() for x in (result, args[0]) if x.shape[-1] != self.dim]
            self.largest = max(self.largest, *scores)
        assert "scaled_dot_product" not in str(func), "nothing goes whole"
        return result


@pytest.mark.parametrize(
    ("queries", "keys"), [(257, 257), (129, 512), (5, 3001), (1000, 3), (1, 1), (64, 64)]
)
def test_mps_attention_in_pieces_is_attention(queries: int, keys: int) -> None:
    q, k, v = three(queries, keys)
    with Products() as seen:
        mine = attend(q, k, v, piece=PIECE)
    torch.testing.assert_close(mine, functional.scaled_dot_product_attention(q, k, v), rtol=1e-5, atol=1e-5)
    assert 0 < seen.largest <= PIECE


def test_mps_attention_in_pieces_of_bf16_is_nearer_than_its_own_rounding() -> None:
    q, k, v = three(300, 700, dtype=torch.bfloat16)
    mine = attend(q, k, v, piece=PIECE)
    exact = functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    assert mine.dtype == torch.bfloat16
    torch.testing.assert_close(mine.double(), exact, rtol=2**-8, atol=1e-6)


def test_mps_attention_in_pieces_scores_far_apart_stay_finite() -> None:
    q, k, v = three(50, 60)
    q = q * 1000  # e to the power of a score overflows
    mine = attend(q, k, v, piece=100)
    torch.testing.assert_close(mine, functional.scaled_dot_product_attention(q, k, v), rtol=1e-4, atol=1e-4)


def hidden(queries: int, keys: int) -> Tensor:
    mask = made(queries, keys, seed=7) > 0
    mask[:, 0] = True  # a query that sees nothing is a case of its own
    mask[3, :-1], mask[3, -1] = False, True  # and one that sees nothing for many pieces
    return mask


MASKS: dict[str, Callable[[], Tensor]] = {
    "true-or-false": lambda: hidden(70, 90),
    "added": lambda: made(2, 3, 70, 90, seed=8),
    "of-a-head": lambda: made(1, 3, 70, 90, seed=8),
    "of-keys": lambda: hidden(70, 90)[5].view(1, 1, 1, 90),
    "of-queries": lambda: made(1, 1, 70, 1, seed=9),
}


@pytest.mark.parametrize("mask", MASKS)
def test_mps_attention_in_pieces_keeps_masks(mask: str) -> None:
    q, k, v = three(70, 90)
    mine = attend(q, k, v, MASKS[mask](), piece=500)
    wanted = functional.scaled_dot_product_attention(q, k, v, MASKS[mask]())
    torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-5)


def test_mps_attention_of_a_query_that_sees_nothing_is_zero() -> None:
    q, k, v = three(4, 9)
    mask = torch.ones(4, 9, dtype=torch.bool)
    mask[2] = False
    mine = attend(q, k, v, mask, piece=12)
    assert mine[:, :, 2].eq(0).all() and mine.isfinite().all()


@pytest.mark.parametrize("words", [{"is_causal": True}, {"scale": 0.3}, {"enable_gqa": True}], ids=str)
def test_mps_attention_in_pieces_takes_what_attention_takes(words: dict[str, Any]) -> None:
    q, k, v = three(40, 40, heads=4)
    if "enable_gqa" in words:
        k, v = k[:, :2], v[:, :2]
    wanted = functional.scaled_dot_product_attention(q, k, v, **words)
    with InPieces(limit=0, piece=200) as mode:
        mine = functional.scaled_dot_product_attention(q, k, v, **words)
    assert mode.calls == 1
    torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


def test_mps_attention_up_to_the_limit_stays_whole() -> None:
    q, k, v = three(10, 10)
    with InPieces(limit=2 * 3 * 10 * 10) as at_it:
        functional.scaled_dot_product_attention(q, k, v)
    with InPieces(limit=2 * 3 * 10 * 10 - 1) as over_it:
        functional.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=None)
    assert (at_it.calls, over_it.calls) == (0, 1)


def test_mps_attention_reads_inputs_that_lie_in_memory_as_diffusers_leaves_them() -> None:
    q, k, v = (made(2, 50, 3, 16, seed=i).permute(0, 2, 1, 3) for i in range(3))
    wanted = functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend(q, k, v, piece=400), wanted, rtol=1e-5, atol=1e-5)


def clip(engine: Engine[Any]) -> np.ndarray:
    request = engine.mode.parse({
        "prompt": "a red circle moving right", "checkpoint": "wan2.2-t2v-a14b", "num_frames": 9,
        "num_inference_steps": 2, "preset": "quality", "seed": 5,
    })  # fmt: skip
    plan = engine.plan(request)
    assert plan.placement is not None
    pipe = engine._pipe(plan.checkpoint, plan.placement, print)
    return np.stack([*engine.make(pipe, Ready(request, plan, {}), 2, Job())])


def test_mps_a_whole_clip_in_pieces_is_the_same_clip(
    t2v: Engine[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = clip(t2v)
    with InPieces(limit=0, piece=5000) as mode, Products(dim=32):
        pieces = clip(t2v)
    # 2 steps x 2 forwards x 4 layers x (own and prompt's), and the text encoder and the VAE beside.
    assert mode.calls > 2 * 2 * 4 * 2
    apart = np.abs(whole.astype(int) - pieces.astype(int))
    assert apart.max() <= 1 and apart.mean() < 0.01
