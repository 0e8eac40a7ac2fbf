"""Drafts: cheap clips of one request by several seeds, each with what it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from common.catalog import CHECKPOINTS, Checkpoint, Resolution
from common.contract import Manifest, Plan
from common.modes.base import Mode, drawn
from common.modes.offers import SAMPLER, alike
from common.run.batch import Member, Spread, members

COUNT = 4
STEPS = 10
"""Of a draft where there is no Fast preset: few, and enough to see what the clip will be."""
MAY_CHANGE = "The composition may change: a seed makes another picture at another size or number of steps."


@dataclass(frozen=True)
class Drafts:
    """Drafts, and in `about` what makes them cheap, in words."""

    members: list[Member]
    about: str


def drafts(
    mode: Mode[Any],
    manifest: Manifest,
    values: Mapping[str, Any],
    *,
    count: int = COUNT,
    draw: Callable[[], int] = lambda: drawn(None),
) -> Drafts:
    """The cheapest clips that show what `values` will be, with as many seeds; each aims at Quality with its own.

    Fast where the model has it, else few steps; the smallest size of the same shape. InputError as `members`.
    """
    asked = mode.plan_by(manifest, values)
    row = CHECKPOINTS[asked.checkpoint]
    cheap, how = _cheap(asked, row)
    own = {name: value for name, value in values.items() if name not in (SAMPLER if "preset" in cheap else ())}
    found = members(mode, manifest, {**own, **cheap}, Spread(count), draw=draw)
    plan = found[0].plan
    same = (plan.width, plan.height, plan.num_inference_steps) == (
        asked.width, asked.height, asked.num_inference_steps,
    ) and plan.preset == asked.preset  # fmt: skip
    aim = _aim(values, asked, row)
    if same and aim["preset"] == asked.preset:
        return Drafts(found, f"{row.name} has nothing cheaper than this: they are the clips themselves")
    made = [
        Member(one.values, one.label, one.plan, aim={**aim, "prompt": one.values["prompt"], "seed": one.plan.seed})
        for one in found
    ]
    return Drafts(made, f"{how}, {plan.width}×{plan.height}, {plan.num_inference_steps} steps")


def _cheap(asked: Plan, row: Checkpoint) -> tuple[dict[str, Any], str]:
    size = Resolution(asked.width, asked.height)
    small = min((s for s in row.sizes(asked.weights) if alike(s, size)), key=lambda s: s.area, default=size)
    small = min(small, size, key=lambda s: s.area)
    changes: dict[str, Any] = {"width": small.width, "height": small.height}
    if "fast" in row.presets:
        return {**changes, "preset": "fast"}, "Fast"
    steps = min(asked.num_inference_steps, STEPS)
    return {**changes, "num_inference_steps": steps}, f"no Fast preset of {row.name}, so few steps"


def _aim(values: Mapping[str, Any], asked: Plan, row: Checkpoint) -> dict[str, Any]:
    """The same in Quality at the size that was asked for; a page that shows Fast has none of Quality's numbers."""
    best = "quality" if "quality" in row.presets else "fast"
    kept = {name: value for name, value in values.items() if name not in (() if asked.preset == best else SAMPLER)}
    return {**kept, "preset": best, "width": asked.width, "height": asked.height}
