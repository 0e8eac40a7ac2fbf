"""The recipe of a result out of its lineage, and why a step may come out differently from what was recorded."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from pydantic import ValidationError

from common.contract import Lineage, Parent, Placement, Plan
from common.errors import InputError, quoted
from common.modes.all import MODES
from common.recipe import DECIDED, MOST_STEPS, Made, Recipe, Source, Step, broken, checked


def recipe_of(lineage: Lineage, *, name: str = "", sha256: str | None = None) -> Recipe:
    """The recipe of a result: a step for each ancestor that its lineage holds, the oldest first.

    `sha256` is the result's own. InputError for a lineage that no recipe can be made of: of a mode or an input that
    is not known here, or with nonsense where a hash should be.
    """
    steps: list[Step] = []
    numbers: dict[str, int] = {}

    def known(of: Lineage, found: dict[str, Lineage]) -> dict[str, Lineage]:
        for parent in of.parents:
            if parent.lineage is not None and parent.sha256 not in found:
                found[parent.sha256] = parent.lineage
                known(parent.lineage, found)
        return found

    ancestors = known(lineage, {})

    def add(of: Lineage, digest: str | None, below: frozenset[str]) -> int:
        sources = [_source(parent, step_of, below) for parent in of.parents]
        if len(steps) >= MOST_STEPS:
            raise InputError("lineage", f"must have at most {MOST_STEPS} steps")
        steps.append(_step(of, sources, digest))
        return len(steps)

    def step_of(digest: str, below: frozenset[str]) -> int | None:
        if digest not in ancestors:
            return None
        if digest in below:
            raise InputError("lineage", "goes in a circle", hint="somebody has changed this file")
        if digest not in numbers:
            numbers[digest] = add(ancestors[digest], digest, below | {digest})
        return numbers[digest]

    try:
        add(lineage, sha256, frozenset())
        recipe = Recipe(name=name or " → ".join(step.mode for step in steps), steps=steps)
    except ValidationError as error:
        raise broken(error) from None
    return checked(recipe)


def _source(
    parent: Parent, step_of: Callable[[str, frozenset[str]], int | None], below: frozenset[str]
) -> Source:
    number = step_of(parent.sha256, below)
    if number is not None:
        return Source(slot=parent.role, step=number)
    return Source(slot=parent.role, sha256=parent.sha256, mime=parent.mime)


def _step(of: Lineage, sources: list[Source], digest: str | None) -> Step:
    made = Made(
        versions=dict(of.versions),
        git_sha=of.git_sha,
        revision=of.revision,
        placement=of.plan.placement and of.plan.placement.model_copy(update={"why": []}),
    )
    request = {name: value for name, value in of.request.items() if name != "seed"}
    return Step(
        mode=of.plan.mode, weights=of.plan.weights, request=request, decided=decided(of.plan), sources=sources,
        sha256=digest, made=made,
    )  # fmt: skip


def decided(plan: Plan) -> dict[str, Any]:
    """What a plan says of a request's open values, by their names."""
    fields = MODES[plan.mode].request_type.model_fields
    found = {name: getattr(plan, name) for name in DECIDED}
    found |= {name: value for name, value in plan.values.items() if name in fields}
    return {name: value for name, value in found.items() if value is not None}


def differences(step: Step, plan: Plan, here: Made, changed: Collection[str] = ()) -> list[str]:
    """Why a step may come out differently from what was recorded, in words.

    `plan` is that of now, `here` what it would be made with, and `changed` are the values that were set by hand.
    """
    told: list[str] = []
    now, then = decided(plan), step.made
    for name, before in step.decided.items():
        if name not in changed and now.get(name) != before:
            told.append(f"{name} was {_short(before)} and is now {_short(now.get(name))}")
    others = [
        f"{name} {before} (here {here.versions[name]})"
        for name, before in then.versions.items()
        if name in here.versions and here.versions[name] != before
    ]
    if {then.git_sha, here.git_sha}.isdisjoint({"", "unknown"}) and then.git_sha != here.git_sha:
        others.append(f"the code of {then.git_sha[:8]} (here {here.git_sha[:8]})")
    if others:
        told.append(f"it was made with {', '.join(others)}")
    if then.revision and here.revision and then.revision != here.revision:
        told.append(f"its weights were {then.revision[:20]}, and here they are {here.revision[:20]}")
    if (
        then.placement
        and plan.placement
        and (was := _form(then.placement)) != (form := _form(plan.placement))
    ):
        told.append(f"it was computed with {was}, and here it is with {form}")
    return told


def _form(placed: Placement) -> str:
    """What of a placement a frame follows from."""
    parts = [f"transformer {placed.precision.get('transformer')}", f"{placed.attention} attention"]
    parts += ["compiled"] * (placed.compile != "none") + ["shortcuts"] * placed.shortcuts
    parts += ["tiled"] * placed.tiling
    return re.sub(r"[^\w ,.-]", "", ", ".join(parts))


def _short(value: Any) -> str:
    text = quoted(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
