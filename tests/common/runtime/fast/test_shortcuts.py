"""Shortcuts skip what they may and no more, and leave nothing behind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from common.errors import Cancelled
from common.runtime.fast import shortcuts
from common.shortcuts import Shortcuts
from nano.judge.cases import cases, load, run

STEPS = 12
CASES = cases(1, 4_100_000)


@pytest.fixture(scope="module", params=["dense", "moe"])
def pipe(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    yield request.param, load(request.param, "cpu")


def transformers(pipe: Any) -> list[Any]:
    return [m for m in (pipe.transformer, getattr(pipe, "transformer_2", None)) if m is not None]


def made(kind: str, pipe: Any, taken: Shortcuts | None, stop: int = 0, **more: Any) -> tuple[Any, list[int]]:
    """A clip, and how many forwards of the last block each step took."""
    counts = [0]
    hooks = [
        t.blocks[-1].register_forward_hook(lambda *_: counts.__setitem__(-1, counts[-1] + 1))
        for t in transformers(pipe)
    ]
    guided = more.get("guidance_scale", 2) > 1
    try:
        with shortcuts.taken(pipe, transformers(pipe), taken, STEPS, guided=guided) as at_step:

            def after(pipe: Any, index: int, timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                if index + 1 == stop:
                    raise Cancelled
                at_step(index + 1)
                counts.append(0)
                return tensors

            clip = next(
                run(pipe, kind, CASES, num_inference_steps=STEPS, callback_on_step_end=after, **more)
            )
    finally:
        for hook in hooks:
            hook.remove()
    return clip, counts[:STEPS]


def test_every_second_step_is_reused_after_the_first_and_the_last_are_not_guided(pipe: tuple[str, Any]) -> None:
    kind, model = pipe
    _, counts = made(kind, model, Shortcuts(residual_diff_threshold=1e9, warmup_steps=2, guided=0.75))
    assert counts[9:] == [1, 1, 1]
    if kind == "dense":
        assert counts[:9] == [2, 2, 0, 2, 0, 2, 0, 2, 0]
    else:  # each expert computes its own first two
        assert counts[:2] == [2, 2] and 0 in counts[2:9] and sum(counts[:9]) > 10


def test_what_changes_too_much_is_computed(pipe: tuple[str, Any]) -> None:
    kind, model = pipe
    _, counts = made(kind, model, Shortcuts(residual_diff_threshold=1e-9, warmup_steps=2, guided=1.0))
    assert counts == [2] * STEPS


def test_without_guidance_reuse_counts_single_forwards() -> None:
    taken = Shortcuts(residual_diff_threshold=1e9, warmup_steps=2, guided=0.75)
    _, counts = made("dense", load("dense", "cpu"), taken, guidance_scale=1.0)
    assert counts == [1, 1, 0, 1, 0, 1, 0, 1, 0, 1, 1, 1]


def test_the_next_job_is_as_if_nothing_had_been(pipe: tuple[str, Any]) -> None:
    kind, model = pipe
    before, _ = made(kind, model, None)
    with pytest.raises(Cancelled):  # a visitor leaves in the middle
        made(kind, model, Shortcuts(residual_diff_threshold=1e9, warmup_steps=2), stop=5)
    after, counts = made(kind, model, None)
    assert counts == [2] * STEPS and np.array_equal(before, after)
    assert all("forward" not in vars(t) and not hasattr(t, "_is_cached") for t in transformers(model))
