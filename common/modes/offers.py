"""What to ask for instead of what does not fit: the smallest change first, each fits by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common import cost
from common.catalog import CHECKPOINTS, Checkpoint, Resolution
from common.contract import Manifest, Plan
from common.errors import StudioError
from common.modes.base import Mode

MOST = 3
SAME_SHAPE = 0.25
"""Of the logarithms of two aspects: closer ones are the same to a viewer; portrait and landscape never are."""
LEAST_SECONDS = 1.0
"""No offer makes a clip shorter than this."""
SAMPLER = ("num_inference_steps", "flow_shift", "guidance_scale", "guidance_scale_2")
"""What a preset sets: a page that shows the old one's values must not keep them."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Offer:
    """A change to a request: in words, as request values (`preset`, `checkpoint`, `width` and `height`,
    `num_frames`, `num_clip`), and what comes of it."""

    text: str
    changes: Mapping[str, Any]
    plan: Plan


def fits(plan: Plan, seconds: float | None = None) -> bool:
    """Whether the machine holds it, and on ZeroGPU whether it takes no more than so many GPU seconds.

    Unless told otherwise those are a free account's of a day.
    """
    most = cost.free_day() if seconds is None else seconds
    return plan.placement is not None and (plan.gpu_size is None or plan.gpu_seconds <= most)


def offers(mode: Mode[Any], manifest: Manifest, values: Values, seconds: float | None = None) -> list[Offer]:
    """At most MOST requests near `values` that do fit; none where they fit themselves, or break a rule.

    `seconds` is what is left of a visitor's day on ZeroGPU, where that is known. All have a model of the same
    generation: which generation is a choice of its own.
    """
    asked = _planned(mode, manifest, values)
    if asked is None or fits(asked, seconds):
        return []
    search = _Search(mode, manifest, values, asked, seconds)
    found = [search.fast(), *search.each()]
    if search.has_fast and found[0] is None:
        found += search.each(fast=True)
    unique: dict[str, Offer] = {}
    for offer in found:
        if offer is not None:
            unique.setdefault(offer.text, offer)
    return list(unique.values())[:MOST]


def _planned(mode: Mode[Any], manifest: Manifest, values: Values) -> Plan | None:
    try:
        return mode.plan_by(manifest, values)
    except StudioError:
        return None


class _Search:
    """One search, around a request that does not fit."""

    def __init__(
        self, mode: Mode[Any], manifest: Manifest, values: Values, asked: Plan, seconds: float | None
    ) -> None:
        self.mode, self.manifest, self.values, self.asked, self.seconds = (
            mode,
            manifest,
            values,
            asked,
            seconds,
        )
        self.row = CHECKPOINTS[asked.checkpoint]
        self.has_fast = "fast" in self.row.presets and asked.preset != "fast"

    def fast(self) -> Offer | None:
        """The Fast preset alone."""
        return self._fitting({"preset": "fast"}, "Fast") if self.has_fast else None

    def each(self, *, fast: bool = False) -> Sequence[Offer | None]:
        """Shorter, smaller, another model; with Fast besides."""
        makes: tuple[Callable[[Mapping[str, Any], str], Offer | None], ...] = (
            self._shorter, self._smaller, self._model,
        )  # fmt: skip
        base, begin = ({"preset": "fast"}, "Fast, ") if fast else ({}, "")
        return [make(base, begin) for make in makes]

    def _fitting(self, changes: Mapping[str, Any], text: str) -> Offer | None:
        kept = {**self.values, **changes}
        if "preset" in changes or "checkpoint" in changes:
            kept = {name: value for name, value in kept.items() if name not in SAMPLER}
        plan = _planned(self.mode, self.manifest, kept)
        return Offer(text, changes, plan) if plan is not None and fits(plan, self.seconds) else None

    def _shorter(self, base: Mapping[str, Any], begin: str) -> Offer | None:
        """The longest that fits: a job that takes less for fewer frames is searched by halves."""
        fields, law, fps = self.mode.request_type.model_fields, self.row.law, self.row.fps
        if "num_clip" in fields:
            tried = [{"num_clip": n} for n in range(1, len(self.asked.segments))]
        else:
            least = law.nearest(LEAST_SECONDS * fps)
            tried = [{"num_frames": n} for n in range(least, self.asked.num_frames, law.step)]
        best, low, high = None, 0, len(tried)
        while low < high:
            middle = (low + high) // 2
            if (found := self._fitting({**base, **tried[middle]}, "")) is not None:
                best, low = found, middle + 1
            else:
                high = middle
        if best is None:
            return None
        return Offer(f"{begin}{best.plan.clip_seconds:.1f} s long", best.changes, best.plan)

    def _smaller(self, base: Mapping[str, Any], begin: str) -> Offer | None:
        """The largest size of the same shape that fits."""
        asked = Resolution(self.asked.width, self.asked.height)
        sizes = [s for s in self.row.sizes(self.asked.weights) if s.area < asked.area and alike(s, asked)]
        for size in sorted(sizes, key=lambda s: -s.area):
            changes = {**base, "width": size.width, "height": size.height}
            if found := self._fitting(changes, f"{begin}{size.width}×{size.height}"):
                return found
        return None

    def _model(self, base: Mapping[str, Any], begin: str) -> Offer | None:
        """The largest other model that fits, at its size nearest to what was asked."""
        allowed = [info.key for info in self.manifest.checkpoints]
        rows = [
            row for row in self.mode.offered(self.asked.weights, allowed)
            if row.generation == self.row.generation and row.key != self.row.key
            and ("preset" not in base or "fast" in row.presets)
        ]  # fmt: skip
        for row in sorted(rows, key=lambda r: -r.architecture.parameters * r.architecture.experts):
            if found := self._fitting({**base, **self._carried(row)}, f"{begin}{row.name}"):
                return found
        return None

    def _carried(self, row: Checkpoint) -> dict[str, Any]:
        return carried(self.mode, self.values, self.asked, row)


def carried(mode: Mode[Any], values: Values, asked: Plan, row: Checkpoint) -> dict[str, Any]:
    """What `values` ask for, planned as `asked`, as another model can do it: model, size, and frames where given."""
    size, sizes = Resolution(asked.width, asked.height), row.sizes(asked.weights)
    near = size if size in sizes else min(sizes, key=lambda s: (round(_apart(s, size), 2), s.area))
    changes: dict[str, Any] = {"checkpoint": row.key, "width": near.width, "height": near.height}
    if "num_clip" not in mode.request_type.model_fields and values.get("num_frames"):
        changes["num_frames"] = min(row.law.nearest(asked.clip_seconds * row.fps), row.max_frames)
    return changes


def _apart(one: Resolution, other: Resolution) -> float:
    return abs(math.log(one.width / one.height) - math.log(other.width / other.height))


def alike(one: Resolution, other: Resolution) -> bool:
    """Whether two sizes have the same shape to a viewer."""
    return _apart(one, other) <= SAME_SHAPE
