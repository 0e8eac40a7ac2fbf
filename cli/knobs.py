"""What `--set` changes in a recipe: a value or a file of its last step, or of one that is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from common.errors import InputError, received
from common.recipe import Recipe, Step, slot_of, where

SHORT = {"frames": "num_frames", "steps": "num_inference_steps", "guidance": "guidance_scale"}
TEXTS = ("prompt", "negative_prompt")
"""Empty is a wish for these; of another value it means that nobody asks for one."""


@dataclass
class Turn:
    """A step as it will be made: `by_hand` are values that were set, `files` the media that were given for slots."""

    number: int
    step: Step
    by_hand: set[str] = field(default_factory=lambda: set[str]())
    files: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())

    @property
    def changed(self) -> bool:
        """Whether something of this step itself is new."""
        return bool(self.by_hand or self.files)

    @property
    def name(self) -> str:
        """How it is called."""
        return where(self.number, self.step)


def turned(recipe: Recipe, pairs: Sequence[str]) -> list[Turn]:
    """The steps with what `KEY=VALUE` and `STEP.KEY=VALUE` change; InputError for what no step has."""
    turns = [Turn(number, step) for number, step in enumerate(recipe.steps, 1)]
    for pair in pairs:
        said, equals, value = pair.partition("=")
        if not equals:
            raise InputError("set", "must be KEY=VALUE or STEP.KEY=VALUE", got=repr(pair))
        which, dot, key = said.rpartition(".")
        turn = _named(turns, which) if dot else turns[-1]
        _put(turn, key.replace("-", "_"), value)
    for turn in turns:
        for slot in turn.files:
            turn.step = turn.step.with_sources(slot, [])
        try:
            turn.step.of.parse({"prompt": "", **turn.step.asked()})
        except InputError as error:
            raise of_step(turn, error, len(turns)) from None
    return turns


def of_step(turn: Turn, error: InputError, count: int) -> InputError:
    """The error with the step that it is about, where there are several."""
    text = f"{turn.name}: {error.text}" if count > 1 else error.text
    told = received({**error.facts(), "text": text})
    return told if isinstance(told, InputError) else error


def _named(turns: Sequence[Turn], which: str) -> Turn:
    found = [turn for turn in turns if which in (str(turn.number), turn.step.mode)]
    if len(found) == 1:
        return found[0]
    said = ", ".join(f"{turn.number} ({turn.step.mode})" for turn in turns)
    rule = "must name a step by its number" if found else "must name a step by its number or mode"
    raise InputError("set", rule, got=repr(which), hint=f"there are {said}")


def _put(turn: Turn, key: str, value: str) -> None:
    name = SHORT.get(key, key)
    if (slot := slot_of(turn.step, name)) is not None:
        paths = turn.files.setdefault(name, [])
        if paths and not slot.many:
            raise InputError(name, "is given twice", hint="say it once")
        paths += [value] if value else []
        return
    values: dict[str, Any] = {name: value if value or name in TEXTS else None}
    if name == "size":
        width, _, height = value.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal()):
            raise InputError("size", "must be WIDTHxHEIGHT", got=repr(value), hint="try 832x480")
        values = {"width": width, "height": height}
    for each in values:
        if each not in turn.step.of.request_type.model_fields:
            known = ", ".join(turn.step.of.request_type.model_fields)
            raise InputError(each, f"is not an input of {turn.name}", hint=f"known: {known}")
        if each in turn.by_hand:
            raise InputError(each, "is given twice", hint="say it once")
    turn.by_hand |= set(values)
    turn.step = turn.step.with_values(values)
