"""A mode: what it takes, which checkpoints serve it, and the one pure function from request to plan."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, get_args

from pydantic import ValidationError

from common import cost, nano_words, placement
from common.catalog import (
    CHECKPOINTS,
    GENERATIONS,
    MAX_PROMPT_TOKENS,
    MAX_STEPS,
    Checkpoint,
    Preset,
    PresetName,
    Resolution,
    Weights,
)
from common.contract import (
    MAX_SEED,
    Backend,
    Manifest,
    MediaHandle,
    ModeKey,
    Placement,
    Plan,
    Prepared,
    Request,
    Segment,
)
from common.errors import InputError, quoted
from common.memory import Shape
from common.modes import joining, rules

Asked = TypeVar("Asked", bound=Request)
"""The request of one mode."""

PRESETS: tuple[PresetName, ...] = get_args(PresetName)


@dataclass(frozen=True)
class MediaSlot:
    """An input that takes a file of `kind` (image, video, audio); image slots take clips by `image_from`."""

    name: str
    kind: str
    label: str
    required: bool = True
    many: bool = False


@dataclass(frozen=True)
class Example:
    """One click's worth of input: field values, media by file name under `common/examples/`."""

    label: str
    values: dict[str, Any]


class Mode(Generic[Asked]):
    """A way to make a video. Subclasses are data plus `check`; they own their request class.

    The order of `checkpoints` is the order of the menu; the first is the default.
    """

    key: ClassVar[ModeKey]
    title: ClassVar[str]
    icon: ClassVar[str]
    about: ClassVar[str]
    prompt_label: ClassVar[str] = "Prompt"
    nano_placeholder: ClassVar[str] = "a red circle moving right on a black background"
    """What an empty prompt suggests under Wan-Nano."""
    checkpoints: ClassVar[tuple[str, ...]]
    slots: ClassVar[tuple[MediaSlot, ...]] = ()
    examples: ClassVar[tuple[Example, ...]] = ()
    nano_examples: ClassVar[tuple[Example, ...]] = ()
    most_references: ClassVar[int] = 0
    """Pictures beside the clip that the model reads along with it."""
    prepared: ClassVar[type[Prepared] | None] = None
    """What `/prepare` shows of the media that are made first, where a mode makes any."""
    default_prompt: ClassVar[str] = ""
    """What an empty prompt stands for; where there is none, a prompt must be given."""

    request_type: type[Asked]
    """The pydantic class of this mode's requests."""

    def check(self, request: Asked, checkpoint: Checkpoint, weights: Weights) -> list[str]:
        """Rules of this mode alone: raises InputError, returns notices. Reads no file."""
        return []

    def cropped(self, request: Asked, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The media slots whose centre is cut out where they have another shape than the video."""
        return tuple(slot.name for slot in self.slots)

    def frames(self, request: Asked, checkpoint: Checkpoint, weights: Weights) -> int:
        """Frames of the clip; a mode that starts from a clip takes them from there."""
        return checkpoint.default_frames(weights) if request.num_frames is None else request.num_frames

    def loras(self, request: Asked, checkpoint: Checkpoint, preset: Preset) -> tuple[str, ...]:
        """LoRAs that are active; a mode may offer others than the preset's own."""
        return preset.loras

    def denoising_steps(self, request: Asked, steps: int) -> int:
        """Steps that really run; less than `steps` where a mode starts in the middle (strength)."""
        return steps

    def encodes(self, request: Asked, checkpoint: Checkpoint) -> int:
        """How many clips of the video's length the VAE reads before the first step."""
        return 0

    def references(self, request: Asked) -> int:
        """Pictures that take a latent frame each, beside those of the clip."""
        return 0

    def segments(
        self, request: Asked, checkpoint: Checkpoint, weights: Weights, num_frames: int
    ) -> list[int]:
        """Frames of each part that is sampled by itself, in their order."""
        return [num_frames]

    def goes_on_from(self, request: Asked, num_frames: int) -> tuple[str, int] | None:
        """The slot of the clip that the video begins with, and how many of its last frames the model makes again."""
        return None

    def strength(self, request: Asked) -> float | None:
        """How much of a clip changes, for a mode that starts from one."""
        return None

    def values(self, request: Asked) -> dict[str, Any]:
        """What the plan says of this mode alone, by the request's names."""
        return {}

    # ------------------------------------------------------------------ lookups

    def rows(self, allowed: Sequence[str] | None = None) -> list[Checkpoint]:
        """This mode's checkpoints in menu order, narrowed to those that a Space carries."""
        return [CHECKPOINTS[k] for k in self.checkpoints if allowed is None or k in allowed]

    def offered(self, weights: Weights, allowed: Sequence[str] | None = None) -> list[Checkpoint]:
        """Those of `rows` that there are weights of: Wan-Nano does not stand in for every checkpoint."""
        return [row for row in self.rows(allowed) if weights == "wan" or row.kind]

    def generations(self) -> list[str]:
        """Generations that have a checkpoint for this mode, in the order of the menu."""
        have = {c.generation for c in self.rows()}
        return [g for g in GENERATIONS if g in have]

    def generation(self, allowed: Sequence[str] | None = None) -> str:
        """The generation of the checkpoint that serves this mode unless one is asked for."""
        return self.rows(allowed)[0].generation

    def parse(self, values: dict[str, Any]) -> Asked:
        """Raw values (API, command line, panel) into a request; InputError names the first that fails."""
        try:
            return self.request_type.model_validate(values)
        except ValidationError as error:
            found = error.errors()
            first = found[0]
            name = str(first["loc"][0]) if first["loc"] else "an input's name"
            if first["type"] == "extra_forbidden":
                known = ", ".join(self.request_type.model_fields)
                raise InputError(name, f"is not an input of {self.key}", hint=f"known: {known}") from None
            if first["type"] == "missing":
                raise InputError(name, "is required") from None
            # A field that may be one of several kinds has a complaint for each.
            rules_broken = dict.fromkeys(e["msg"].lower() for e in found if e["loc"][:1] == first["loc"][:1])
            raise InputError(
                name, f"is not valid: {' or '.join(rules_broken)}", got=quoted(first["input"])
            ) from None

    def media(self, request: Asked) -> list[tuple[MediaSlot, MediaHandle]]:
        """Every handle in a request, with its slot."""
        found: list[tuple[MediaSlot, MediaHandle]] = []
        for slot in self.slots:
            value = getattr(request, slot.name, None)
            handles: list[object] = list(value) if slot.many and value else [value]
            found += [(slot, h) for h in handles if isinstance(h, MediaHandle)]
        return found

    # ------------------------------------------------------------------ the plan

    def plan(
        self,
        request: Asked,
        backend: Backend | None = None,
        *,
        weights: Weights = "nano",
        allowed: Sequence[str] | None = None,
    ) -> Plan:
        """What a request will do on a backend. Pure: no torch, no file, no network.

        Raises InputError for the first rule that the request breaks. `allowed` narrows the checkpoints to
        those that a Space carries.
        """
        backend = backend or Backend()
        checkpoint = self._checkpoint(request.checkpoint, allowed, weights)
        if not self.default_prompt:
            rules.prompt(request.prompt)
        for slot in self.slots:
            if slot.required and getattr(request, slot.name) in (None, []):
                raise InputError(slot.name, "is required", hint=f"give {slot.label.lower()}")
        for slot, handle in self.media(request):
            if slot.kind == "video":
                rules.clip(slot.name, handle)
        requested, effective, notices = _preset(request.preset, checkpoint, weights, backend)
        preset = checkpoint.presets[effective]
        size = _size(request, checkpoint, weights)
        num_frames = self.frames(request, checkpoint, weights)
        rules.frames(num_frames, checkpoint)
        steps = (
            checkpoint.steps(effective, weights)
            if request.num_inference_steps is None
            else request.num_inference_steps
        )
        rules.between("num_inference_steps", steps, 1, MAX_STEPS)
        cfg, cfg_2, unguided = _guidance(request, checkpoint, preset)
        shift = preset.flow_shift if request.flow_shift is None else request.flow_shift
        rules.between("flow_shift", shift, *rules.FLOW_SHIFTS)
        rules.between("seed", request.seed, -1, MAX_SEED)
        notices += self.check(request, checkpoint, weights)
        continues = None
        if (join := self.goes_on_from(request, num_frames)) is not None:
            clip = getattr(request, join[0])
            continues, said = joining.continued(*join, clip, num_frames, checkpoint.fps, size)
            notices += said
        whole = num_frames + (continues.before if continues else 0)
        notices += self._crops(request, checkpoint, size)
        notices += _common_notices(request, checkpoint, preset, num_frames, cfg, weights)
        notices += unguided + rules.small_notices(size, checkpoint, weights)
        there = checkpoint.attachable(weights)
        loras = [key for key in self.loras(request, checkpoint, preset) if key in there]
        lengths = self.segments(request, checkpoint, weights, num_frames)
        shape = Shape(size.width, size.height, max(lengths), self.references(request))
        job = replace(self.job(shape), loras=tuple(loras), shortcuts=preset.shortcuts, guided=cfg > 1)
        placed = placement.place(checkpoint, weights, backend, job)
        if placed is None:
            notices.append(f"Not enough memory: {placement.shortage(checkpoint, weights, backend, job)}.")
        elif placed.why:
            notices.append(f"To fit {backend.name}: {'; '.join(placed.why)}.")
        if placed is not None and placed.shared:
            notices.append(placed.shared)

        done = self.denoising_steps(request, steps)
        work = cost.Work(
            size.width, size.height, shape.num_frames,
            forwards=cost.forwards(done, cfg),
            exact=cost.forwards(2, cfg),
            encodes=self.encodes(request, checkpoint), references=self.references(request), lora=bool(loras),
        )  # fmt: skip

        def takes(machine: Backend, there: Placement | None) -> float:  # for each segment
            given = work
            if there and there.shortcuts and preset.shortcuts:
                a = checkpoint.architecture
                worth = preset.shortcuts.forwards(done, cfg, a.experts, a.layers)
                last = done - preset.shortcuts.computed_from(done)
                given = replace(work, forwards=worth, exact=cost.forwards(1, cfg) + 1, unguided=last)
            seconds = cost.seconds(checkpoint, weights, cost.profile(machine), given, there)
            return seconds + cost.transfer(cost.profile(machine), there.weight_bytes if there else 0)

        expected = takes(backend, placed)
        lent, held = backend, placed
        if not backend.gpu_size:  # what the Space of the checkpoint's own tier would ask for
            lent = placement.zerogpu(checkpoint.gpu_size)
            held = placement.place(checkpoint, weights, lent, job)
        duration = cost.duration(takes(lent, held))
        billed = len(lengths) * cost.billed(duration, lent.gpu_size or checkpoint.gpu_size)
        if backend.gpu_size and (over := cost.over(billed)):
            notices.append(
                f"This takes {billed} GPU seconds, more than a {over[0]} has in a day ({over[1]})."
            )
        return Plan(
            mode=self.key,
            checkpoint=checkpoint.key,
            weights=weights,
            preset=effective,
            requested_preset=requested,
            width=size.width,
            height=size.height,
            num_frames=num_frames,
            fps=checkpoint.fps,
            num_inference_steps=steps,
            guidance_scale=cfg,
            guidance_scale_2=cfg_2,
            flow_shift=shift,
            strength=self.strength(request),
            values=self.values(request),
            segments=[Segment(frames=n, steps=steps, expected_seconds=round(expected, 2)) for n in lengths],
            seed=drawn(request.seed),
            # Empty is a wish too: nothing to steer away from.
            negative_prompt=checkpoint.negative_prompt
            if request.negative_prompt is None
            else request.negative_prompt,
            loras=[(key, 1.0) for key in loras],
            placement=placed,
            gpu_duration=duration,
            gpu_seconds=billed,
            gpu_size=backend.gpu_size,
            expected_seconds=round(len(lengths) * expected, 2),
            clip_seconds=round(whole / checkpoint.fps, 3),
            continues=continues,
            notices=notices,
        )

    def plan_by(self, manifest: Manifest, values: Mapping[str, Any]) -> Plan:
        """What raw values will do in the Space that says this of itself."""
        allowed = [info.key for info in manifest.checkpoints]
        request = self.parse({name: value for name, value in values.items() if value is not None})
        return self.plan(request, manifest.backend, weights=manifest.weights, allowed=allowed)

    def said(self, request: Asked) -> str:
        """The prompt that is in effect."""
        return request.prompt.strip() or self.default_prompt

    def job(self, shape: Shape) -> placement.Job:
        """What has to fit."""
        return placement.Job(shape, reads_media=bool(self.slots))

    def _crops(self, request: Asked, checkpoint: Checkpoint, size: Resolution) -> list[str]:
        """What is cut away of media that were measured."""
        shape, cropped = (size.width, size.height), self.cropped(request, checkpoint)
        said = [
            rules.crop_notice(slot.name, (handle.width, handle.height), shape)
            for slot, handle in self.media(request)
            if slot.name in cropped and handle.width and handle.height
        ]
        return list(dict.fromkeys(text for text in said if text))

    def _checkpoint(self, key: str | None, allowed: Sequence[str] | None, weights: Weights) -> Checkpoint:
        rows = self.offered(weights, allowed)
        if not rows:
            raise InputError("checkpoint", f"has no choice for {self.key} here")
        if not key:
            return rows[0]
        for row in rows:
            if row.key == key:
                return row
        raise InputError(
            "checkpoint",
            f"must be one that {self.key} runs" + (" here" if key in self.checkpoints else ""),
            got=repr(key),
            hint="try " + ", ".join(row.key for row in rows),
        )


def drawn(seed: Any) -> Any:
    """The seed, drawn where none is asked for."""
    return random.SystemRandom().randint(0, MAX_SEED) if seed in (None, -1) else seed


def _preset(
    name: str, checkpoint: Checkpoint, weights: Weights, backend: Backend
) -> tuple[PresetName, PresetName, list[str]]:
    requested: PresetName | None = next((p for p in PRESETS if p == name), None)
    if requested is None:
        raise InputError("preset", "must be fast or quality", got=repr(name))
    there: list[PresetName] = [k for k, preset in checkpoint.presets.items() if backend.loras or not preset.loras]
    if requested in there:
        return requested, requested, []
    other = there[0]
    steps = checkpoint.steps(other, weights)
    if requested == "fast":
        text = f"Lightning unavailable for {checkpoint.name} — using Quality preset ({steps} steps)."
    else:
        text = f"{checkpoint.name} is distilled and has no Quality preset — using Fast ({steps} steps)."
    return requested, other, [text]


def _size(request: Request, checkpoint: Checkpoint, weights: Weights) -> Resolution:
    sizes = checkpoint.sizes(weights)
    if request.width is None and request.height is None:
        return sizes[0]
    if request.width is None or request.height is None:
        missing = "width" if request.width is None else "height"
        raise InputError(missing, "is required when the other side is given", hint=f"try {sizes[0].size}")
    size = Resolution(request.width, request.height)
    rules.size(size, checkpoint, weights)
    return size


def _guidance(
    request: Request, checkpoint: Checkpoint, preset: Preset
) -> tuple[float, float | None, list[str]]:
    """Guidance of the first expert, of the second where there is one, and what was changed."""
    cfg = preset.guidance_scale if request.guidance_scale is None else request.guidance_scale
    rules.between("guidance_scale", cfg, 0, rules.MAX_GUIDANCE)
    if not checkpoint.moe:
        if request.guidance_scale_2 is not None:
            # diffusers raises a ValueError here, but only after the text encoder has run.
            raise InputError(
                "guidance_scale_2",
                f"belongs to two-expert (MoE) checkpoints; {checkpoint.key} has one transformer",
                hint="leave it empty",
            )
        return cfg, None, []
    cfg_2 = preset.guidance_scale_2 if request.guidance_scale_2 is None else request.guidance_scale_2
    if cfg_2 is not None:
        rules.between("guidance_scale_2", cfg_2, 0, rules.MAX_GUIDANCE)
    if cfg > 1 or cfg_2 is None or cfg_2 <= 1:
        return cfg, cfg_2, []
    # diffusers asks the first scale alone whether to guide at all.
    if request.guidance_scale_2 is not None:
        raise InputError(
            "guidance_scale_2",
            f"cannot exceed 1 while guidance_scale is {cfg:g}: without guidance in the high-noise steps there is "
            "none in the low-noise ones",
            got=f"{cfg_2:g}",
            hint="try a guidance_scale above 1, or guidance_scale_2 1",
        )
    return cfg, 1.0, ["Without guidance in the high-noise steps there is none in the low-noise ones either."]


def _common_notices(
    request: Request, checkpoint: Checkpoint, preset: Preset, num_frames: int, cfg: float, weights: Weights
) -> list[str]:
    notices: list[str] = []
    if weights == "nano" and (strange := nano_words.notice(request.prompt)):
        notices.append(strange)
    if preset.note:
        notices.append(preset.note)
    if (count := estimate_tokens(request.prompt)) > MAX_PROMPT_TOKENS:
        notices.append(
            f"The prompt is about {count} tokens long; the model reads the first {MAX_PROMPT_TOKENS}."
        )
    if request.negative_prompt and request.negative_prompt != checkpoint.negative_prompt and cfg <= 1:
        notices.append("The negative prompt has no effect at guidance scale 1; use Quality or raise it.")
    trained = checkpoint.default_frames(weights)
    if num_frames > trained and not checkpoint.segments:
        notices.append(
            f"{num_frames} frames is beyond the {trained} that the model was trained on; motion may drift."
        )
    return notices


def estimate_tokens(prompt: str) -> int:
    """About how many UMT5 tokens a prompt has: 1.3 a word, 1 a CJK character, 1 a punctuation mark."""
    cjk = len(re.findall(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]", prompt))
    words = len(re.findall(r"[^\W\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+", prompt))
    marks = len(re.findall(r"[^\w\s]", prompt))
    return round(1.3 * words) + cjk + marks + 1
