"""The inputs that panels are made of, each drawn from a request field, a media slot or the catalog."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS, MAX_STEPS, Checkpoint, Resolution, Weights
from common.contract import MAX_SEED, MediaHandle, Plan
from common.errors import MediaError
from common.media.files import is_sound, local_file, shown_name
from common.media.opening import open_picture, upright_size
from common.media.sound import Sound
from common.media.watch import Watch
from common.modes import rules
from common.modes.base import MediaSlot, Mode
from common.panels import texts
from common.panels.events import QUIET
from common.panels.handles import ClipFigures, HandleAudio, HandleImage, HandleVideo, SoundFigures, measured
from common.panels.menus import Menu
from common.panels.numbers import Number, Slider
from common.run.runner import explain

Raw = Mapping[str, Any]
"""What the page holds, by component name."""


@dataclass
class Inputs:
    """The inputs of one panel in drawing order, and how they become request values.

    `page` begins the element ids of what the browser must find: the Studio has several panels.
    """

    page: str = ""
    components: dict[str, Any] = field(default_factory=dict[str, Any])  # Gradio adds events at run time
    readers: list[Callable[[Raw], dict[str, Any]]] = field(
        default_factory=list[Callable[[Raw], dict[str, Any]]]
    )

    def add(self, name: str, component: Any) -> Any:
        """An input whose value is the request field of the same name, unless a reader says otherwise."""
        self.components[name] = component
        return component

    def shown(self, updates: Mapping[str, Any]) -> dict[Any, Any]:
        """Updates by an input's name as those by component that a Gradio handler may return."""
        return {self.components[name]: update for name, update in updates.items()}

    def values(self, fields: Sequence[str], raw: Sequence[Any]) -> dict[str, Any]:
        """The page's values, in the order of `components`, as request values."""
        named = dict(zip(self.components, raw, strict=True))
        values = {name: named[name] for name in named if name in fields}
        for reader in self.readers:
            values |= reader(named)
        return {name: value for name, value in values.items() if value is not None}

    def measured(self, values: Mapping[str, Any], raw: Sequence[Any]) -> dict[str, Any]:
        """Request values whose media have their figures: for what is said before Generate, not for a job.

        Those of a clip are the browser's, those of a picture its header's.
        """
        named = dict(zip(self.components, raw, strict=True))
        return {n: _known(value, named.get(f"{n}_seen")) for n, value in values.items()}


def _known(value: Any, figures: MediaHandle | None) -> Any:
    if not isinstance(value, MediaHandle) or figures is not None or is_sound(value):
        return measured(value, figures) if figures else value
    size = picture_size(value)
    return value.model_copy(update={"width": size[0], "height": size[1]}) if size else value


NO_FILE = MediaHandle(path="-")
"""Stands in for a file that is still to be given; a plan opens none."""

# ------------------------------------------------------------------ duration


def seconds_of(num_frames: int, fps: int) -> float:
    """A clip's length to the tenth: fine enough to tell any two apart that a model makes in one piece."""
    return round(num_frames / fps, 1)


def frames_for(seconds: float, checkpoint: Checkpoint) -> int:
    """The number of frames that is nearest to a duration."""
    return min(checkpoint.law.nearest(seconds * checkpoint.fps), checkpoint.max_frames)


def duration_update(checkpoint: Checkpoint, num_frames: int) -> Any:
    """The slider of a clip's length, as far as a model goes, at that of `num_frames`."""
    fps = checkpoint.fps
    return gr.update(maximum=seconds_of(checkpoint.max_frames, fps), value=seconds_of(num_frames, fps))


def preset_updates(plan: Plan) -> dict[str, Any]:
    """Updates by input for what a plan's preset sets."""
    moe = plan.guidance_scale_2 is not None
    return {
        "num_inference_steps": plan.num_inference_steps,
        "flow_shift": plan.flow_shift,
        "guidance_scale": gr.update(value=plan.guidance_scale, label=guidance_label(moe)),
        "guidance_scale_2": gr.update(value=plan.guidance_scale_2 if moe else 1, visible=moe),
    }


def carried_frames(
    frames: float | None, seconds: float | None, rows: Sequence[Checkpoint], to: Checkpoint, weights: Weights
) -> int:
    """How many frames a page asks for once its model is `to`: a duration that somebody chose is kept.

    `rows` are the models that may have stood there before: where it is the default of one, nobody chose it.
    """
    defaults = {(n := row.default_frames(weights), seconds_of(n, row.fps)) for row in rows}
    if frames is None or seconds is None or (frames, seconds) in defaults:
        return to.default_frames(weights)
    return frames_for(seconds, to)


# ------------------------------------------------------------------ resolution


def resolution_choices(checkpoint: Checkpoint, weights: Weights) -> list[tuple[str, str]]:
    """The resolution menu: label and value."""
    return [(r.label.replace("x", "×"), r.size) for r in checkpoint.sizes(weights)]


def nearest_resolution(sizes: Sequence[Resolution], width: int, height: int) -> Resolution:
    """The size whose aspect is nearest; the first of equals, which is the mode's default quality."""
    return min(sizes, key=lambda r: abs(math.log(r.width / r.height) - math.log(width / height)))


def picture_size(handle: MediaHandle | None) -> tuple[int, int] | None:
    """Width and height as the picture is meant to be seen (EXIF turns it); None where it cannot be read."""
    if handle is None:
        return None
    if handle.width and handle.height:
        return handle.width, handle.height
    try:
        with open_picture(handle.path, "image") as picture:
            return upright_size(picture)
    except MediaError:
        return None  # preflight says what is wrong with it, once Generate asks


def read_resolution(raw: Raw) -> dict[str, Any]:
    """`832x480` as width and height."""
    width, _, height = str(raw.get("resolution") or "").partition("x")
    return {"width": int(width), "height": int(height)} if width.isdigit() and height.isdigit() else {}


# ------------------------------------------------------------------ media


def media_slot(inputs: Inputs, slot: MediaSlot, *, frame_choice: bool) -> None:
    """A slot for a file. With `frame_choice` an image slot takes a clip too, and says which frame of it."""
    if slot.kind == "video":
        clip_input(inputs, slot.name, slot.label, height=190)
        return
    if slot.kind == "audio":
        sound_input(inputs, slot.name, slot.label)
        return
    if not frame_choice:
        inputs.add(slot.name, _picture(inputs, slot))
        return
    with gr.Group(elem_classes="slot"):
        source = gr.Radio(
            [("Picture", "picture"), ("Frame of a clip", "clip")],
            value="picture", label=slot.label, elem_classes="segmented",
        )  # fmt: skip
        picture = _picture(inputs, slot, show_label=False)
        clip_id = f"{inputs.page}-{slot.name}-clip"
        clip = HandleVideo(
            label=slot.label, sources=["upload"], height=190, visible=False, show_label=False, autoplay=False,
            elem_id=clip_id,
        )  # fmt: skip
        words = gr.HTML("", elem_classes="moment", visible=False)
        with gr.Row(visible=False) as which:
            moment = gr.Radio(
                [("First", "first"), ("Last", "last"), ("At second", "at")],
                value="first", label="Which frame", elem_classes="segmented", scale=3,
            )  # fmt: skip
            second = Number(0, label="Second", minimum=0, step=0.1, visible=False, scale=1, min_width=90)
    names = [f"{slot.name}_{part}" for part in ("source", "picture", "clip", "moment", "second")]
    for name, component in zip(names, (source, picture, clip, moment, second), strict=True):
        inputs.add(name, component)

    def read(raw: Raw) -> dict[str, Any]:
        kind, still, video, when, at = (raw[name] for name in names)
        if kind == "picture" or video is None:
            return {slot.name: still if kind == "picture" else None}
        return {slot.name: video, f"{slot.name}_from": float(at or 0) if when == "at" else when}

    inputs.readers.append(read)

    def show(kind: str) -> list[Any]:
        clips = kind == "clip"
        return [gr.update(visible=not clips), *(gr.update(visible=clips) for _ in range(3))]

    source.change(
        show, source, [picture, clip, words, which],
        **QUIET,
    )  # fmt: skip
    _see(inputs, slot.name, clip)
    gr.on(
        [clip.change, moment.change, second.change], None, [clip, moment, second], words,
        js=f"(...now) => window.wanClips.show('{clip_id}', ...now)",
        **QUIET,
    )  # fmt: skip
    for component, kind in ((picture, "picture"), (clip, "clip")):
        # An example, or a video sent here from another mode, brings its side of the slot to the front.
        component.change(
            lambda value, kind=kind: kind if value is not None else gr.skip(),
            component, source, **QUIET,
        )  # fmt: skip
    moment.change(
        lambda when: gr.update(visible=when == "at"),
        moment, second, **QUIET,
    )  # fmt: skip


def clip_input(inputs: Inputs, name: str, label: str, **options: Any) -> HandleVideo:
    """A slot for a clip, which the browser measures as soon as it is there."""
    clip = inputs.add(name, HandleVideo(label=label, sources=["upload"], **options))
    _see(inputs, name, clip)
    return clip


def _see(inputs: Inputs, name: str, clip: HandleVideo) -> None:
    figures = inputs.add(f"{name}_seen", ClipFigures(visible=False))
    clip.change(
        None, clip, figures, js="(clip) => window.wanClips.measure(clip)",
        **QUIET,
    )  # fmt: skip


def sound_input(inputs: Inputs, name: str, label: str) -> None:
    """A slot for a sound, uploaded or recorded, which is measured here as soon as it is there.

    Below it stands what is wrong with it, where anything is.
    """
    sound = inputs.add(
        name,
        HandleAudio(
            label=label, sources=["upload", "microphone"], type="filepath", buttons=[],
            elem_id=f"{inputs.page}-{name}", elem_classes="sound",
        ),
    )  # fmt: skip
    figures = inputs.add(f"{name}_seen", SoundFigures(visible=False))
    wrong = gr.HTML("", elem_classes="wrong")

    async def measure(handle: MediaHandle | None) -> list[Any]:
        return list(await measured_sound(handle, name, label))

    sound.change(measure, sound, [figures, wrong], **QUIET)


async def measured_sound(handle: MediaHandle | None, field: str, label: str) -> tuple[Any, str]:
    """Figures for SoundFigures and no words, or none and what is wrong with the sound, as HTML."""

    def seconds(sound: MediaHandle) -> float:
        return Sound(local_file(sound, field), field, shown_name(sound), Watch()).seconds

    if handle is None:
        return None, ""
    try:
        return {"clip": handle.path, "seconds": await asyncio.to_thread(seconds, handle)}, ""
    except Exception as error:
        return None, texts.alert(texts.in_words(explain(error).text, {field: label}))


def _picture(inputs: Inputs, slot: MediaSlot, *, show_label: bool = True) -> HandleImage:
    return HandleImage(
        label=slot.label, show_label=show_label, sources=["upload", "clipboard"], height=190, image_mode=None,
        elem_id=f"{inputs.page}-{slot.name}-picture",
    )  # fmt: skip


# ------------------------------------------------------------------ settings


def settings(
    inputs: Inputs,
    mode: Mode,
    rows: Sequence[Checkpoint],
    weights: Weights,
    shown: Plan,
    *,
    size: str = "Resolution",
    more: Callable[[], None] = lambda: None,
) -> None:
    """Checkpoint, `more`, preset, resolution (called `size`) and duration: what most people change."""
    checkpoint = next(row for row in rows if row.key == shown.checkpoint)
    inputs.add(
        "checkpoint",
        Menu(checkpoint_choices(rows), value=shown.checkpoint, label="Model", filterable=False),
    )
    more()
    with gr.Row(elem_classes="tight"):
        inputs.add(
            "preset",
            gr.Radio(
                [("Fast", "fast"), ("Quality", "quality")], value=shown.requested_preset, label="Preset",
                elem_classes=["segmented", "own-preset"], min_width=150,
            ),
        )  # fmt: skip
        inputs.add(
            "resolution",
            Menu(
                resolution_choices(checkpoint, weights), value=f"{shown.width}x{shown.height}",
                label=size, filterable=False, min_width=150,
            ),
        )  # fmt: skip
    if "num_frames" in mode.request_type.model_fields:
        inputs.add(
            "duration",
            Slider(
                0.1, seconds_of(checkpoint.max_frames, checkpoint.fps), step=0.1, label="Duration (s)",
                value=seconds_of(shown.num_frames, checkpoint.fps), buttons=[],
            ),
        )  # fmt: skip
    inputs.readers.append(read_resolution)


def advanced(
    inputs: Inputs, shown: Plan, *, opened: bool = False, more: Callable[[], None] = lambda: None
) -> None:
    """Everything a preset sets, open to change; values are those of the plan in effect."""
    moe, row = shown.guidance_scale_2 is not None, CHECKPOINTS[shown.checkpoint]
    law = row.law
    still = "; 1 is a still" if law.allows(1) and not row.segments else ""
    with gr.Accordion("Advanced", open=opened):
        inputs.add(
            "negative_prompt",
            gr.Textbox(shown.negative_prompt, label="Negative prompt", lines=2, max_lines=4),
        )
        with gr.Row(elem_classes="tight"):
            inputs.add(
                "num_inference_steps",
                Slider(1, MAX_STEPS, shown.num_inference_steps, step=1, label="Steps", buttons=[]),
            )
            inputs.add(
                "flow_shift",
                Slider(*rules.FLOW_SHIFTS, shown.flow_shift, step=0.1, label="Flow shift", buttons=[]),
            )
        with gr.Row(elem_classes="tight"):
            inputs.add(
                "guidance_scale",
                Slider(
                    0,
                    rules.MAX_GUIDANCE,
                    shown.guidance_scale,
                    step=0.1,
                    label=guidance_label(moe),
                    buttons=[],
                ),
            )
            inputs.add(
                "guidance_scale_2",
                Slider(
                    0, rules.MAX_GUIDANCE, shown.guidance_scale_2 if moe else 1, step=0.1, label="CFG, low noise",
                    buttons=[], visible=moe,
                ),
            )  # fmt: skip
        with gr.Row(elem_classes="tight"):
            inputs.add(
                "num_frames",
                Number(shown.num_frames, label="Frames", info=f"{law.words}{still}", precision=0, minimum=1),
            )
            inputs.add("seed", Slider(0, MAX_SEED, 0, step=1, label="Seed", buttons=[], elem_classes="seed"))
        inputs.add("randomize", gr.Checkbox(True, label="Randomize seed"))
        more()
    inputs.readers.append(lambda raw: {"seed": -1} if raw["randomize"] else {})
    own = {row.negative_prompt for row in CHECKPOINTS.values()}
    inputs.readers.append(lambda raw: {"negative_prompt": None} if raw["negative_prompt"] in own else {})


def whole_clip(inputs: Inputs) -> None:
    """A tick that lets a source clip decide how long the result is; moving the duration takes it away."""
    inputs.add("whole_clip", gr.Checkbox(True, label="As long as the clip"))
    inputs.readers.append(lambda raw: {"num_frames": None} if raw["whole_clip"] else {})


def wire_whole_clip(inputs: Inputs) -> None:
    """To be called once duration and frames are drawn."""
    parts = inputs.components
    gr.on(
        [parts["duration"].input, parts["num_frames"].input],
        lambda: False, None, parts["whole_clip"],
        **QUIET,
    )  # fmt: skip


def guidance_label(moe: bool) -> str:
    """The first guidance slider's name; with two experts it is one of two."""
    return "CFG, high noise" if moe else "CFG"


def checkpoint_choices(rows: Sequence[Checkpoint]) -> list[tuple[str, str]]:
    """The model menu, newest generation first, in the mode's own order within one."""
    newest = sorted(rows, key=lambda row: row.generation, reverse=True)
    return [(row.name + (" · community" if row.community else ""), row.key) for row in newest]


def missing(mode: Mode, values: Mapping[str, Any]) -> dict[str, Any]:
    """Required inputs that are still empty, with stand-ins that let the plan be made all the same."""
    empty: dict[str, Any] = {}
    if not mode.default_prompt and not str(values.get("prompt") or "").strip():
        empty["prompt"] = "-"
    for slot in mode.slots:
        if slot.required and not values.get(slot.name):
            handle = NO_FILE
            empty[slot.name] = [handle] if slot.many else handle
    return empty
