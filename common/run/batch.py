"""A batch: one request spread over seeds, prompts, choices in braces, and values of one setting."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Self, Union, cast, get_args, get_origin

from common.budgets import BUDGETS
from common.catalog import CHECKPOINTS
from common.contract import MAX_SEED, Manifest, Plan
from common.errors import InputError, StudioError, quoted, received
from common.modes.base import PRESETS, Mode, drawn
from common.modes.offers import SAMPLER, carried

SIZE = "resolution"
"""A setting of two fields: `832x480` is width and height."""
NOT_SWEPT = {"seed", "width", "height"}
"""Numbers of a request that are no settings: seeds are counted, and two sides go together."""
LABEL_CHARACTERS = 60

_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Member:
    """One job of a batch: its request values, and what tells it from the others in a few words.

    `plan` is what it will do. `aim` are the values of what a draft stands for.
    """

    values: Mapping[str, Any]
    label: str
    plan: Plan
    aim: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Spread:
    """How a request is spread. `prompts` stand in its own prompt's place, where there are any."""

    seeds: int = 1
    prompts: Sequence[str] = ()
    setting: str = ""
    settings: Sequence[str] = ()

    @classmethod
    def read(cls, seeds: object, prompts: object, setting: object, values: object) -> Self:
        """What a page, or a program in its place, says: prompts one a line, values in a list or with commas."""
        most = BUDGETS.batch_jobs
        known = isinstance(seeds, int | float) and not isinstance(seeds, bool) and 1 <= seeds <= most
        if not known or seeds != (count := int(cast(float, seeds))):
            raise InputError("seeds", f"must be a whole number from 1 to {most}", got=quoted(seeds)[:40])
        lines = _text("prompts", prompts).splitlines()
        listed: list[object] = list(cast("list[object]", values)) if isinstance(values, list) else [values]
        if len(listed) > BUDGETS.list_items:
            raise InputError("values", f"must be at most {most}", got=len(listed))
        told = [part.strip() for value in listed for part in re.split("[,;\n]", _text("values", value))]
        return cls(
            count,
            tuple(line.strip() for line in lines if line.strip()),
            _text("setting", setting).strip(),
            tuple(dict.fromkeys(part for part in told if part)),
        )


def members(
    mode: Mode[Any],
    manifest: Manifest,
    values: Mapping[str, Any],
    spread: Spread,
    *,
    words: Mapping[str, str] | None = None,
    draw: Callable[[], int] = lambda: drawn(None),
) -> list[Member]:
    """The jobs of a batch in their order: prompts, then choices, then values, then seeds.

    A random seed becomes as many that differ, drawn once by `draw` and the same for every prompt and value; from one
    that is given the next are counted. `words` are the page's names of settings. InputError for more than a batch
    may have, for braces that do not make a choice, and for a rule that a member breaks, which it names.
    """
    said, words = _prompts(values, spread), words or {}
    if spread.setting and not spread.settings:
        raise InputError("values", f"are needed for {_word(spread.setting, words)}", hint="name one or more")
    if spread.settings and not spread.setting:
        raise InputError("setting", "must be chosen for these values", hint="choose one, or clear the values")
    ways = max(len(spread.settings), 1) * spread.seeds
    _few(sum(_count(text) for text in said) * ways)
    texts = [(text, label) for prompt in said for text, label in _chosen(prompt, named=len(said) > 1)]
    base = {**values, "prompt": texts[0][0]}
    first = mode.plan_by(manifest, base)
    swept = [(_set(mode, manifest, base, first, spread.setting, value, words)) for value in spread.settings]
    seeds = _seeds(mode.parse(_given(base)).seed, spread.seeds, draw)
    found: list[Member] = []
    for (text, name), (changes, setting), seed in product(texts, swept or [({}, "")], seeds):
        seed_name = f"seed {seed}" if len(seeds) > 1 or not (name or setting) else ""
        label = " · ".join(part for part in (name, setting, seed_name) if part)
        asked = {**_cleared(values, changes), "prompt": text, **changes, "seed": seed}
        try:
            found.append(Member(asked, label, mode.plan_by(manifest, asked)))
        except InputError as error:
            raise _of(error, label) from None
    return found


def offers_choices(prompt: object) -> bool:
    """Whether a prompt has something in braces to choose from."""
    return isinstance(prompt, str) and any("|" in inside for inside in _BRACES.findall(prompt))


def seconds(plans: Sequence[Plan]) -> float:
    """What all of a batch takes, one after the other: of a visitor's day on ZeroGPU, else of the machine's time."""
    return sum(plan.gpu_seconds if plan.gpu_size else plan.expected_seconds for plan in plans)


# ------------------------------------------------------------------ what may be swept


def sweepable(mode: Mode[Any]) -> list[str]:
    """The settings of a mode that one batch may have several values of: its numbers and its choices."""
    fields = {name: f.annotation for name, f in mode.request_type.model_fields.items() if name not in NOT_SWEPT}
    return ["checkpoint", "preset", SIZE, *(name for name, kind in fields.items() if _is_setting(kind))]


def choices(mode: Mode[Any], manifest: Manifest, setting: str, checkpoint: str | None = None) -> list[str]:
    """The values that a setting has to choose from; empty for a number."""
    if setting == "checkpoint":
        rows = mode.offered(manifest.weights, [info.key for info in manifest.checkpoints])
        return [row.key for row in rows]
    if setting == "preset":
        return list(PRESETS)
    if setting == SIZE:
        row = CHECKPOINTS.get(checkpoint or "") or CHECKPOINTS[manifest.default_checkpoint]
        return [size.size for size in row.sizes(manifest.weights)]
    if (known := mode.request_type.model_fields.get(setting)) is None:
        return []
    kinds = _kinds(known.annotation)
    if bool in kinds:
        return ["yes", "no"]
    return [str(v) for kind in kinds if get_origin(kind) is Literal for v in get_args(kind)]


def _kinds(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [k for part in get_args(annotation) for k in _kinds(part) if k is not NoneType]
    return _kinds(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]


def _is_setting(annotation: Any) -> bool:
    kinds = _kinds(annotation)
    return len(kinds) == 1 and (kinds[0] in (int, float, bool) or get_origin(kinds[0]) is Literal)


def _set(
    mode: Mode[Any],
    manifest: Manifest,
    values: Mapping[str, Any],
    asked: Plan,
    setting: str,
    value: str,
    words: Mapping[str, str],
) -> tuple[dict[str, Any], str]:
    """The changes that give a setting this value, and how that is called."""
    if setting not in sweepable(mode):
        hint = f"choose one of {', '.join(sweepable(mode))}"
        raise InputError("setting", f"is none that {mode.key} has", got=quoted(setting)[:40], hint=hint)
    if setting == SIZE:
        sides = re.fullmatch(r"(\d{1,5})\s*[x×]\s*(\d{1,5})", value)
        if sides is None:
            raise InputError("values", "must be sizes, such as 832x480", got=quoted(value)[:40])
        width, height = map(int, sides.groups())
        return {"width": width, "height": height}, f"{width}×{height}"
    known = choices(mode, manifest, setting)
    if setting == "checkpoint":  # by its name too, as a page shows it
        value = next((key for key in known if CHECKPOINTS[key].name == value), value)
    if known and value not in known:
        hint = f"choose from {', '.join(known)}"
        raise InputError("values", f"must be known for {_word(setting, words)}", got=quoted(value)[:40], hint=hint)
    if setting == "checkpoint":
        return carried(mode, values, asked, CHECKPOINTS[value]), CHECKPOINTS[value].name
    if setting == "preset":
        return {"preset": value}, value.capitalize()
    read = getattr(mode.parse({**_given(values), setting: value}), setting)
    return {setting: read}, f"{_word(setting, words)} {value}"


def _cleared(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a page shows of the preset that is changed."""
    own = SAMPLER if {"preset", "checkpoint"} & {*changes} else ()
    return {name: value for name, value in values.items() if name not in own}


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


# ------------------------------------------------------------------ prompts, seeds, words


def _prompts(values: Mapping[str, Any], spread: Spread) -> list[str]:
    own = values.get("prompt")
    return list(spread.prompts) or [own if isinstance(own, str) else ""]


def _groups(prompt: str) -> list[list[str]]:
    """What the braces of a prompt leave to choose from."""
    bare = _BRACES.sub("", prompt)
    if "{" in bare or "}" in bare:
        inner = "{" in bare and "}" in bare and bare.index("{") < bare.rindex("}")
        rule = "has braces within braces" if inner else "has a brace without its other half"
        raise InputError("prompt", rule, hint="write choices as {red|blue}, one pair of braces each")
    groups = [[part.strip() for part in group.split("|")] for group in _BRACES.findall(prompt)]
    for group in groups:
        if len(group) < 2 or "" in group:
            rule = "has an empty choice in its braces" if "" in group else "has braces with nothing to choose"
            raise InputError("prompt", rule, got="{" + "|".join(group) + "}", hint="write {red|blue}")
    return groups


def _count(prompt: str) -> int:
    return math.prod(len(group) for group in _groups(prompt))


def _chosen(prompt: str, *, named: bool) -> list[tuple[str, str]]:
    """A prompt's texts, one for each way to choose, with what was chosen; `named` by the prompt too."""
    found: list[tuple[str, str]] = []
    for choice in product(*_groups(prompt)):
        parts = iter(choice)
        text = _BRACES.sub(lambda _, parts=parts: next(parts), prompt)
        found.append((text, _short(text if named else ", ".join(choice))))
    return found


def _seeds(seed: int, count: int, draw: Callable[[], int]) -> list[int]:
    if seed != -1:
        return [(seed + n) % (MAX_SEED + 1) for n in range(count)]
    seeds: dict[int, None] = {}
    while len(seeds) < count:
        seeds[draw()] = None
    return list(seeds)


def _few(count: int) -> None:
    if count > (most := BUDGETS.batch_jobs):
        got = count if count < 10**6 else "more than a million"
        raise InputError(
            "batch", f"may have at most {most} clips", got=got, hint="take fewer seeds, prompts, choices or values"
        )


def _word(setting: str, words: Mapping[str, str]) -> str:
    return words.get(setting, setting.replace("_", " ").capitalize())


def _short(text: str) -> str:
    return text if len(text) <= LABEL_CHARACTERS else f"{text[: LABEL_CHARACTERS - 1]}…"


def _text(name: str, value: object) -> str:
    if value is None:
        return ""
    text = f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else value
    if not isinstance(text, str):
        raise InputError(name, "must be text", got=quoted(value)[:40])
    if len(text) > (most := BUDGETS.text_characters):
        raise InputError(name, f"must be at most {most} characters", got=len(text))
    return text


def _of(error: StudioError, label: str) -> StudioError:
    """An error of one member, which says of which."""
    return received({**error.facts(), "text": f"{error.text} (in “{label}”)"})
