"""A preset's shortcuts while a clip is denoised: steps that take again what the blocks added, steps without guidance.

The step cache is cache-dit's DBCache, one for each transformer. Wan's control transformer (VACE) has none: for it
cache-dit gives every block a function of its own, and each would be compiled by itself.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from common.shortcuts import Shortcuts

STEP_CACHE = "cache_dit"
AtStep = Callable[[int], None]
"""To be called with how many steps are done, after each."""


def has_step_cache() -> bool:
    """Whether cache-dit is installed; it is not imported for that."""
    return importlib.util.find_spec(STEP_CACHE) is not None


@contextmanager
def taken(
    pipe: Any, transformers: Iterable[Any], shortcuts: Shortcuts | None, steps: int, *, guided: bool
) -> Iterator[AtStep]:
    """In it a job of so many steps takes them; afterwards its transformers are as they were, whatever happened.

    `guided` says whether each makes two forwards a step in turn, with the prompt and without.
    """
    if shortcuts is None:
        yield lambda done: None
        return
    whole = shortcuts.computed_from(steps)
    cached = list[tuple[Any, Any]]()

    def at_step(done: int) -> None:
        if done >= whole:
            _forget(cached)
            pipe._guidance_scale = 1.0  # diffusers asks it in every step whether there is guidance

    try:
        if shortcuts.reuses:
            for transformer in transformers:
                cached.append((transformer, transformer.__dict__.get("forward")))
                _remember(transformer, shortcuts, guided=guided)
        at_step(0)
        yield at_step
    finally:
        _forget(cached)


def _remember(transformer: Any, shortcuts: Shortcuts, *, guided: bool) -> None:
    os.environ.setdefault("CACHE_DIT_LOG_LEVEL", "ERROR")  # it tells each job's settings
    cache_dit = importlib.import_module(STEP_CACHE)
    config = cache_dit.DBCacheConfig(
        Fn_compute_blocks=1,
        Bn_compute_blocks=0,
        max_warmup_steps=shortcuts.warmup_steps,
        max_continuous_cached_steps=1,
        residual_diff_threshold=shortcuts.residual_diff_threshold,
        enable_separate_cfg=guided,
    )
    cache_dit.enable_cache(transformer, cache_config=config)


def _forget(cached: list[tuple[Any, Any]]) -> None:
    while cached:
        transformer, before = cached.pop()
        importlib.import_module(STEP_CACHE).disable_cache(transformer)
        if before is None:
            transformer.__dict__.pop("forward", None)  # the class's own, which it puts on the instance
        else:
            transformer.forward = before
