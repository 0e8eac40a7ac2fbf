"""A recipe: the steps that led to a result, each with all that was decided, as a small JSON document to run again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from common.catalog import CHECKPOINTS, Weights
from common.contract import ModeKey, Placement
from common.errors import InputError, quoted
from common.modes.all import MODES
from common.modes.base import MediaSlot, Mode

MOST_STEPS: Final = 16
MOST_BYTES: Final = 1_000_000
"""Of the document: two texts of full length in each step take less."""
DECIDED: Final = (
    "negative_prompt", "checkpoint", "width", "height", "num_frames", "num_inference_steps", "guidance_scale",
    "guidance_scale_2", "flow_shift", "seed",
)  # fmt: skip
"""What a plan decides where a request leaves it open."""
OF_PRESET: Final = ("num_inference_steps", "guidance_scale", "guidance_scale_2", "flow_shift")
"""What of it hangs on the preset; with another checkpoint, or other weights, all but the seed does."""

Setting = str | int | float | bool | list[str | int | float] | None


def _one_line(text: str) -> str:
    if not all(c.isprintable() for c in text):
        raise ValueError("must be one line of printable characters")
    return text


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
Short = Annotated[dict[Line, Line], Field(max_length=40)]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Source(_Strict):
    """What fills a media slot: the result of an earlier step (from 1), or a file that is known by its content.

    `name` is for people to read, and `mime` what the file was taken for: no file is ever opened by either.
    """

    slot: Line
    step: Annotated[int, Field(ge=1, le=MOST_STEPS)] | None = None
    sha256: Hash | None = None
    name: Line = ""
    mime: Line = ""


class Made(_Strict):
    """What a step was made with when it was recorded."""

    versions: Short = Field(default_factory=lambda: dict[str, str]())
    git_sha: Line = ""
    revision: Line = ""
    placement: Placement | None = None


class Step(_Strict):
    """One video: `request` as it was asked for, `decided` what its plan made of it, `sha256` that of the result.

    The sources of a slot that takes many stand in their order.
    """

    mode: ModeKey
    weights: Weights = "nano"
    request: dict[Line, Setting]
    decided: dict[Line, Setting] = Field(default_factory=lambda: dict[str, Setting]())
    sources: list[Source] = Field(default_factory=lambda: list[Source](), max_length=32)
    sha256: Hash | None = None
    made: Made = Field(default_factory=Made)

    @property
    def of(self) -> Mode[Any]:
        """The mode."""
        return MODES[self.mode]

    def asked(self) -> dict[str, Any]:
        """The values of its request beside media: as they were asked for, and as they were decided where not.

        A clip or a sound says by itself how long a video is that follows it, where nobody chose another length.
        """
        kinds = {slot.name: slot.kind for slot in self.of.slots}
        follows = any(kinds.get(source.slot) in ("video", "audio") for source in self.sources)
        left = {"num_frames"} if follows else set[str]()
        return {**{name: value for name, value in self.decided.items() if name not in left}, **self.request}

    def with_values(self, values: Mapping[str, Any]) -> Step:
        """The step with other values; None lets a value be decided anew."""
        step = self
        if "checkpoint" in values:
            step = step._anew([name for name in DECIDED if name != "seed"])
        elif "preset" in values:
            step = step._anew(OF_PRESET)
        request = {**step.request, **values}
        return step.model_copy(
            update={
                "request": {name: value for name, value in request.items() if value is not None},
                "decided": {name: value for name, value in step.decided.items() if name not in values},
            }
        )

    def with_weights(self, weights: Weights) -> Step:
        """The step as other weights make it; itself where they are the same."""
        if weights == self.weights:
            return self
        held = ("seed", "checkpoint")
        return self._anew([n for n in DECIDED if n not in held]).model_copy(update={"weights": weights})

    def _anew(self, names: Sequence[str]) -> Step:
        """Without what was decided of these, and without what the model has by itself and a page sent along."""
        own = {name: value for name, value in _own(self).items() if name in names}
        return self.model_copy(
            update={
                "request": {k: v for k, v in self.request.items() if k not in own or v != own[k]},
                "decided": {k: v for k, v in self.decided.items() if k not in names},
            }
        )

    def with_sources(self, slot: str, sources: Sequence[Source]) -> Step:
        """The step with other media in a slot, or none; what the mode made of its media is decided anew."""
        others = [source for source in self.sources if source.slot != slot]
        held = {name: value for name, value in self.decided.items() if name in DECIDED}
        return self.model_copy(update={"sources": [*others, *sources], "decided": held})


def _own(step: Step) -> dict[str, Any]:
    """What a step's model has for its preset by itself: who asked for just that has asked for nothing.

    A page sends all that it shows.
    """
    row = CHECKPOINTS.get(str(step.decided.get("checkpoint") or step.request.get("checkpoint")))
    if row is None:
        return {}
    asked = step.request.get("preset", "fast")
    name = min(row.presets, key=lambda preset: preset != asked)  # a model may have but the other one
    preset, size = row.presets[name], row.sizes(step.weights)[0]
    found = {
        "num_inference_steps": row.steps(name, step.weights),
        "guidance_scale": preset.guidance_scale,
        "guidance_scale_2": preset.guidance_scale_2,
        "flow_shift": preset.flow_shift,
        "negative_prompt": row.negative_prompt,
        "num_frames": row.default_frames(step.weights),
    }
    if (step.request.get("width"), step.request.get("height")) == (size.width, size.height):
        found |= {"width": size.width, "height": size.height}
    return found


class Recipe(_Strict):
    """The steps in their order; the last makes the result."""

    wan_recipe: Literal[1] = 1
    name: Line = ""
    steps: list[Step] = Field(min_length=1, max_length=MOST_STEPS)

    def written(self) -> str:
        """The document, for people to read too."""
        document = {"wan_recipe": 1, **self.model_dump(mode="json", exclude_defaults=True)}
        return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def read(document: str | bytes) -> Recipe:
    """A recipe out of its document; InputError says what is broken, in one line."""
    if len(document) > MOST_BYTES:
        raise InputError(
            "recipe", f"must be at most {MOST_BYTES // 1000} kB", hint="it holds no media, only hashes"
        )
    try:
        recipe = Recipe.model_validate_json(document)
    except ValidationError as error:
        raise broken(error) from None
    return checked(recipe)


def checked(recipe: Recipe) -> Recipe:
    """The same recipe; InputError where its steps do not fit together or a mode does not know what one asks."""
    used: set[int] = set()
    for number, step in enumerate(recipe.steps, 1):
        _check_settings(number, step)
        used |= _check_sources(number, step)
    for number, step in enumerate(recipe.steps[:-1], 1):
        if number not in used:
            raise InputError(where(number, step), "leads nowhere: no later step uses it", hint="leave it out")
    return recipe


def where(number: int, step: Step) -> str:
    """How errors and notices call a step."""
    return f"step {number} ({step.mode})"


def _check_settings(number: int, step: Step) -> None:
    mode, at = step.of, where(number, step)
    media = {slot.name for slot in mode.slots}
    known = [name for name in mode.request_type.model_fields if name not in media]
    for name in (*step.request, *step.decided):
        if name in media:
            raise InputError(at, f"must not name a file for {name}", hint="sources say what fills it")
        if name not in known:
            raise InputError(
                at, f"asks for {name}, which is no input of {step.mode}", hint="it may be of a newer version"
            )
    try:
        mode.parse({"prompt": "", **step.asked()})
    except InputError as error:
        raise InputError(at, f"cannot be asked for: {error}") from None


def _check_sources(number: int, step: Step) -> set[int]:
    at, filled, used = where(number, step), set[str](), set[int]()
    for source in step.sources:
        slot = slot_of(step, source.slot)
        if slot is None:
            raise InputError(at, f"has no media slot {source.slot}", hint=_slots(step))
        if source.slot in filled and not slot.many:
            raise InputError(at, f"fills {source.slot} twice", hint="it takes one file")
        filled.add(source.slot)
        if (source.step is None) == (source.sha256 is None):
            rule = f"must say for {source.slot} either the step or the sha256 of a file"
            raise InputError(at, rule, hint="give one of the two")
        if source.step is not None:
            if source.step >= number:
                rule = f"must take {source.slot} from an earlier step"
                raise InputError(at, rule, got=f"step {source.step}", hint="steps stand in their order")
            used.add(source.step)
    return used


def slot_of(step: Step, name: str) -> MediaSlot | None:
    """The media slot of this name; None where its mode has none."""
    return next((slot for slot in step.of.slots if slot.name == name), None)


def _slots(step: Step) -> str:
    names = ", ".join(slot.name for slot in step.of.slots)
    return f"it has {names}" if names else "it takes no media"


def broken(error: ValidationError) -> InputError:
    """What pydantic refuses, in one line that names the step."""
    first = error.errors(include_url=False)[0]
    place = list(first["loc"])
    if place[:1] == ["steps"] and len(place) > 1 and isinstance(place[1], int):
        place = [f"step {place[1] + 1}", *place[2:]]
    at = " ".join(str(part) for part in place[:4]) or "recipe"
    match first["type"]:
        case "extra_forbidden":
            return InputError(at, "is nothing that a recipe has", hint="it may be of a newer version")
        case "missing":
            return InputError(at, "is missing", hint="see `wan-studio recipe` for how one looks")
        case "json_invalid":
            return InputError("recipe", f"is not readable as JSON: {first['msg'].lower()}")
        case "too_long":
            return InputError(at, f"must have at most {first.get('ctx', {}).get('max_length', '')} items")
        case _:
            return InputError(at, f"is not valid: {first['msg'].lower()}", got=quoted(first["input"]))
