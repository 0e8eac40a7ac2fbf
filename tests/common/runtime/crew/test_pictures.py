"""Two processes make the very picture that one makes: each frame to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from common.runtime.sample import generate
from tests.common.runtime.crew.two_cards import Asked
from tests.spaces import media_for_modes as media

UNGUIDED, QUALITY = {"guidance_scale": 1.0}, {"preset": "quality"}
TEXT = {"checkpoint": "wan2.1-t2v-14b", "preset": "quality"}
FIVE, TWO = {"checkpoint": "wan2.2-ti2v-5b"}, {"checkpoint": "wan2.2-i2v-a14b"}


def first(folder: Path) -> dict[str, Any]:
    return {"image": media.picture(folder / "a.png")}


def reference(folder: Path) -> dict[str, Any]:
    return {"submode": "image_reference", "preset": "quality", "reference_images": [media.picture(folder / "a.png")]}


def clip(folder: Path) -> dict[str, Any]:
    return QUALITY | {"video": media.clip(folder / "a.mp4"), "num_inference_steps": 4}


JOBS: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "text": ("t2v", lambda _: TEXT),
    "two experts, each with a guidance of its own": (
        "t2v", lambda _: {
            "checkpoint": "wan2.2-t2v-a14b", "preset": "quality", "guidance_scale": 4.0, "guidance_scale_2": 2.0,
            "num_inference_steps": 4,
        },
    ),
    "seven heads, each token its own timestep": ("i2v", lambda folder: FIVE | QUALITY | first(folder)),
    "three heads, two experts": ("i2v", lambda folder: TWO | QUALITY | first(folder)),
    "control, with a reference": ("vace", reference),
    "another video": ("v2v", clip),
}  # fmt: skip
SHARED: dict[str, tuple[str, Callable[[Path], dict[str, Any]]]] = {
    "text": ("t2v", lambda _: TEXT | UNGUIDED),
    "two experts, Fast with a LoRA on each": (
        "t2v", lambda _: {"checkpoint": "wan2.2-t2v-a14b", "preset": "fast", "num_inference_steps": 4},
    ),
    "seven heads, each token its own timestep": ("i2v", lambda folder: FIVE | UNGUIDED | first(folder)),
    "three heads, two experts": ("i2v", lambda folder: TWO | UNGUIDED | first(folder)),
    "control, with a reference": ("vace", lambda folder: UNGUIDED | reference(folder)),
}  # fmt: skip
ROUNDED = {"seven heads, each token its own timestep", "three heads, two experts"}
"""Where heads are filled up torch sums in another order: a level of 255 here and there."""


def apart(job: Asked, cards: int = 2, **given: Any) -> int:
    """Levels of 255 between the pictures of one process and of several."""
    alone, shared = (job.made(n, **given).astype(int) for n in (1, cards))
    assert alone.std() > 5, "a picture, not one colour"
    return int(np.abs(alone - shared).max())


@pytest.mark.parametrize("name", JOBS)
def test_with_guidance_each_of_two_makes_a_whole_forward(
    name: str, asked: Callable[[str], Asked], tmp_path: Path
) -> None:
    mode, values = JOBS[name]
    job, given = asked(mode), values(tmp_path)
    _, plan = job.plan(2, **given)
    assert plan.placement.halves and plan.guidance_scale > 1
    assert apart(job, **given) == 0


@pytest.mark.parametrize("name", SHARED)
def test_without_guidance_both_share_a_forward(
    name: str, asked: Callable[[str], Asked], tmp_path: Path
) -> None:
    mode, values = SHARED[name]
    job, given = asked(mode), values(tmp_path)
    _, plan = job.plan(2, **given)
    assert not plan.placement.halves and plan.guidance_scale == 1
    assert apart(job, **given) <= (1 if name in ROUNDED else 0)


def test_a_half_reuses_what_its_own_forwards_have_made(
    asked: Callable[[str], Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step cache is told that forwards come in pairs, or that they do not."""
    told: list[bool] = []
    own = generate.shortcuts.taken

    def taken(*given: Any, guided: bool) -> Any:
        told.append(guided)
        return own(*given, guided=guided)

    monkeypatch.setattr(generate.shortcuts, "taken", taken)
    job = asked("t2v")
    for cards in (1, 2):
        job.made(cards, **TEXT)
    assert told == [True, False]


@pytest.mark.slow
def test_of_four_two_share_each_forward_of_a_step(asked: Callable[[str], Asked]) -> None:
    assert apart(asked("t2v"), cards=4, **TEXT) == 0
