"""The panel of a mode: inputs on the left, the video and its job on the right, wired to a Runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import gradio as gr

from common.catalog import CHECKPOINTS, Checkpoint, Resolution
from common.contract import Manifest, MediaHandle, ModeKey, Plan
from common.errors import InputError, StudioError, received
from common.modes.base import Example, Mode
from common.panels import texts, variations, widgets
from common.panels.card import Card
from common.panels.enhancing import Enhancing
from common.panels.events import EACH, QUIET, chosen
from common.panels.handles import HandleVideo
from common.panels.jobs import Jobs
from common.panels.offering import Offering
from common.panels.own import NONE, ModeDefaults, Own
from common.panels.variations import Variations
from common.panels.widgets import Inputs
from common.run.runner import Lasting, Runner

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"

OWN_NEGATIVE = (
    "(key, text) => { const own = %s; return Object.values(own).includes(text) ? own[key] ?? text : text }"
)
"""The negative prompt follows the model as long as it is one's own: what somebody wrote stays."""

LOOKED_AT = "(n) => [document.querySelector('#%s .stage')?.offsetParent ? n + 1 : n]"

class Panel(Jobs):
    """One mode's panel. Draw it inside a Blocks context; subclasses add what is special about a mode.

    `queue` goes to the generation's event (a Space: one at a time; the Studio: no limit of its own), `rank` is
    the heading's: 1 where the panel is the whole page.
    After `draw`, `inputs`, `video` and `below` are there for whoever adds to the page.
    """

    prompt_placeholder: ClassVar[str] = "Describe what should be seen, and how it moves"
    aspect_from: ClassVar[str | None] = None
    """The slot whose picture or clip suggests the resolution by its aspect, where there is one."""
    advanced_open: ClassVar[bool] = False
    presets: ClassVar[tuple[str, ...]] = ("num_inference_steps", "flow_shift", "guidance_scale", "guidance_scale_2")
    """The inputs that a preset sets."""
    own: Own | None = None
    """In the Studio: what its visitor has set for the presets."""
    neighbour: Callable[[ModeKey], Runner] | None = None
    """In the Studio: the runner of another mode, for what this one borrows from it."""

    def __init__(
        self, runner: Runner, manifest: Manifest, *, queue: Mapping[str, Any] | None = None, rank: int = 2
    ) -> None:
        self.runner = runner
        self.mode: Mode = runner.mode
        self.initial = manifest
        self.queue = {"show_progress": "hidden", **(queue or {"concurrency_limit": None})}
        self.rank = rank
        self.inputs = Inputs(self.mode.key)
        super().__init__()

    # ------------------------------------------------------------------ drawing

    def draw(self) -> None:
        """Draw and wire everything."""
        shown = self.preview_plan(self.initial, {})
        self.banner = gr.HTML(texts.banner(self.initial), elem_classes="banner")
        self.heading = gr.HTML(self._heading(shown.checkpoint), elem_classes="heading")
        with gr.Row(elem_classes="two-columns", equal_height=False):
            with gr.Column(scale=2, min_width=320, elem_classes="inputs"):
                self.draw_inputs(shown)
                self.variations = Variations(self) if isinstance(self.runner, Lasting) else None
                with gr.Column(elem_classes="dock"):
                    with gr.Row(elem_classes="actions"):
                        self.go = gr.Button("Generate", variant="primary", size="lg", scale=3)
                        self.more = gr.Button("Add to queue", size="lg", visible=False, scale=2)
                        self.stop = gr.Button("Stop", variant="stop", size="lg", visible=False, scale=1)
                    self.added = gr.HTML("", elem_classes="added")
                    self.label = gr.HTML(self._label_html(self.initial, {}), elem_classes="label")
                    self.offering = Offering(self)
            with gr.Column(scale=3, min_width=320, elem_classes="output", elem_id=f"{self.mode.key}-output"):
                with gr.Column(elem_classes="stage"):
                    self.video = HandleVideo(
                        autoplay=True, loop=True, buttons=["download"], interactive=False, show_label=False,
                        elem_classes="result-video",
                    )  # fmt: skip
                    self.screen = gr.HTML(Card().screen(), elem_classes="overlay")
                self.card = gr.HTML(Card().card(), elem_classes="card")
                self.below = gr.Row(elem_classes="below")
                if self.variations:
                    self.variations.draw_tiles()
                self.draw_outputs()
                self.draw_examples()
        self._wire()
        self.enhancing.wire()
        self.offering.wire()
        if self.variations:
            self.variations.wire()
        self.wire_more()

    def draw_inputs(self, shown: Plan) -> None:
        """The input column above Generate: slots, prompt, settings, Advanced."""
        self.draw_slots()
        self.draw_prompt()
        widgets.settings(self.inputs, self.mode, self._rows(self.initial), self.initial.weights, shown)
        widgets.advanced(self.inputs, shown, opened=self.advanced_open, more=self.draw_advanced)

    def draw_prompt(self, lines: int = 4) -> None:
        """The prompt, and what completes it."""
        with gr.Column(elem_classes="prompted", elem_id=f"{self.mode.key}-prompted"):
            self.inputs.add(
                "prompt",
                gr.Textbox(
                    label=self.mode.prompt_label, lines=lines, max_lines=10, placeholder=self._placeholder(),
                    elem_classes="prompt",
                ),
            )  # fmt: skip
            self.enhancing = Enhancing(self.runner, self.inputs)

    def _placeholder(self) -> str:
        nano = self.initial.weights == "nano"
        return self.mode.nano_placeholder if nano else self.prompt_placeholder

    def draw_slots(self) -> None:
        """The media above the prompt."""
        fields = self.mode.request_type.model_fields
        for slot in self.mode.slots:
            widgets.media_slot(self.inputs, slot, frame_choice=f"{slot.name}_from" in fields)

    def draw_advanced(self) -> None:
        """What a subclass adds under Advanced."""

    def draw_outputs(self) -> None:
        """What a subclass shows below the video and where it can be sent."""

    def wire_more(self) -> None:
        """Events of what a subclass draws."""

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Inputs that are still empty, with stand-ins that let a plan be made all the same."""
        return widgets.missing(self.mode, values)

    def draw_examples(self) -> None:
        """One row of one-click inputs for each kind of weights; the one that fits is shown."""
        self.examples: dict[str, gr.Column] = {}
        for weights, examples in (("wan", self.mode.examples), ("nano", self.mode.nano_examples)):
            if not examples:
                continue
            with gr.Column(visible=weights == self.initial.weights, elem_classes="examples") as column:
                names = list(dict.fromkeys(name for e in examples for name in e.values))
                gr.Examples(
                    [[_example_value(e, name) for name in names] for e in examples],
                    inputs=[self._component(name) for name in names],
                    example_labels=[e.label for e in examples],
                    cache_examples=False, label="Examples",
                )  # fmt: skip
            self.examples[weights] = column

    def _component(self, name: str) -> Any:
        return self.inputs.components.get(name) or self.inputs.components[f"{name}_picture"]

    def _heading(self, key: str) -> str:
        rank, model = f"h{self.rank}", CHECKPOINTS[key].name
        return (
            f'<{rank}>{self.mode.title} <span class="model">{model}</span></{rank}><p>{self.mode.about}</p>'
        )

    # ------------------------------------------------------------------ plans

    def _rows(self, manifest: Manifest) -> list[Checkpoint]:
        return [CHECKPOINTS[info.key] for info in manifest.checkpoints if info.key in CHECKPOINTS]

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]:
        """The page's values as request values."""
        values = self.inputs.values(list(self.mode.request_type.model_fields), raw)
        checkpoint = CHECKPOINTS.get(values.get("checkpoint") or "")
        if checkpoint is not None and not checkpoint.moe:
            values.pop("guidance_scale_2", None)  # its slider is hidden
        return values

    def preview_plan(self, manifest: Manifest, values: Mapping[str, Any]) -> Plan:
        """The plan of values that may still lack required inputs; InputError for a rule broken."""
        return self.mode.plan_by(manifest, {**values, **self.missing(values)})

    def _label_html(self, manifest: Manifest, values: Mapping[str, Any]) -> str:
        todo = [self._label_of(name) for name in self.missing(values)]
        try:
            plan = self.preview_plan(manifest, values)
        except StudioError as error:
            return texts.broken(self.in_words(error))
        hints = variations.hints(values) if isinstance(self.runner, Lasting) else []
        return texts.label(plan, manifest.backend, todo, hints)

    def _label_of(self, name: str) -> str:
        slots = {slot.name: slot.label.lower() for slot in self.mode.slots}
        return slots.get(name, self.mode.prompt_label.lower())

    def words(self) -> dict[str, str]:
        """What the page calls the fields of the API."""
        fields = {name: name.replace("_", " ").capitalize() for name in self.mode.request_type.model_fields}
        parts = self.inputs.components.items()
        labels = {name: part.label for name, part in parts if name in fields and part.label}
        return fields | labels | {slot.name: slot.label for slot in self.mode.slots}

    def in_words(self, error: StudioError) -> StudioError:
        if not isinstance(error, InputError):
            return error
        return received({**error.facts(), "text": texts.in_words(error.text, self.words())})

    # ------------------------------------------------------------------ events

    def _wire(self) -> None:
        parts = self.inputs.components
        everything = list(parts.values())
        presets, stored = [parts[n] for n in self.presets], [self.own.stored] if self.own else []
        shape = [parts[n] for n in ("resolution", "duration", "num_frames")]

        # A page that nobody looks at asks for no label; who opens it raises `stale`.
        self.stale = gr.Number(0, visible=False)
        gr.on(
            [part.change for part in everything if hasattr(part, "change")],
            None, self.stale, self.stale, js=LOOKED_AT % f"{self.mode.key}-output", **QUIET,
        )  # fmt: skip
        headings = {
            key: self._heading(key) for key in CHECKPOINTS
        }  # also what only a federation's file names
        parts["checkpoint"].change(
            None, parts["checkpoint"], self.heading, js=f"(key) => ({json.dumps(headings)})[key]", **QUIET
        )
        negatives = {row.key: row.negative_prompt for row in self.mode.rows()}
        if len(set(negatives.values())) > 1:
            parts["checkpoint"].change(
                None, [parts["checkpoint"], parts["negative_prompt"]], parts["negative_prompt"],
                js=OWN_NEGATIVE % json.dumps(negatives), **QUIET,
            )  # fmt: skip
        # Not `change`: who sets the model from outside (Studio, restored file) sets the rest too. Not `input`: a menu
        # that was only opened says that as well.
        chosen(
            parts["checkpoint"].select, self._checkpoint_chosen, [parts["preset"], *shape, *stored],
            [*presets, *shape], **EACH,
        )  # fmt: skip
        chosen(
            parts["preset"].input, self._preset_chosen, [parts["checkpoint"], parts["preset"], *stored], presets,
            **QUIET,
        )  # fmt: skip
        # `change`: what was typed out of bounds is put right by the page itself, which is no input.
        parts["duration"].change(
            _frames_follow, [parts["checkpoint"], parts["duration"], parts["num_frames"]], parts["num_frames"],
            **QUIET,
        )  # fmt: skip
        parts["num_frames"].input(
            lambda key, frames: gr.skip() if frames is None else widgets.seconds_of(frames, _chosen(key).fps),
            [parts["checkpoint"], parts["num_frames"]], parts["duration"],
            **QUIET,
        )  # fmt: skip
        for name in (f"{self.aspect_from}_picture", f"{self.aspect_from}_seen"):
            if name in parts:
                parts[name].change(
                    self._suggest_resolution, [parts[name], parts["checkpoint"], parts["resolution"]],
                    parts["resolution"], **QUIET,
                )  # fmt: skip
        self.wire_jobs()

    async def _relabel(self, *raw: Any) -> str:
        values = self.inputs.measured(self.values(raw), raw)
        return self._label_html(await self.runner.manifest(values.get("checkpoint")), values)

    def _own(self, stored: Sequence[object]) -> ModeDefaults:
        return self.own.of(self.mode.key, *stored) if self.own else NONE

    async def _preset_chosen(self, key: str, preset: str, *stored: Any) -> dict[Any, Any]:
        return self.inputs.shown(await self.preset_changed(key, preset, self._own(stored)))

    async def preset_changed(self, key: str, preset: str, own: ModeDefaults = NONE) -> dict[str, Any]:
        """Updates by input for what a preset sets, once it is another one: the model's, or somebody's own."""
        manifest = await self.runner.manifest(key)
        return self.preset_updates(self._preset_plan(manifest, key, preset, own), own)

    def preset_updates(self, plan: Plan, own: ModeDefaults) -> dict[str, Any]:
        """The same of a plan; for all of `presets` that change."""
        return widgets.preset_updates(plan)

    def _preset_plan(self, manifest: Manifest, key: str, preset: str, own: ModeDefaults) -> Plan:
        plan = self.preview_plan(manifest, {"checkpoint": key, "preset": preset})
        # Of the preset that is in effect: a model without Fast would else make Quality in four steps.
        mine = own.values(plan.preset)
        return self.preview_plan(manifest, {"checkpoint": key, "preset": preset, **mine}) if mine else plan

    async def _checkpoint_chosen(
        self,
        event: gr.EventData,
        preset: str,
        resolution: str,
        seconds: float | None,
        frames: float | None,
        *stored: Any,
    ) -> dict[Any, Any]:
        key, own = _chosen(told(event, "value")).key, self._own(stored)
        return self.inputs.shown(
            await self.checkpoint_changed(key, preset, resolution, seconds, frames, own=own)
        )

    async def checkpoint_changed(
        self,
        key: str,
        preset: str,
        resolution: str,
        seconds: float | None = None,
        frames: float | None = None,
        own: ModeDefaults = NONE,
    ) -> dict[str, Any]:
        """Updates by input for what a preset sets, resolution, duration and frames, once the model is another one.

        `resolution`, `seconds` and `frames` are what the page shows: what somebody chose is kept where it fits.
        """
        manifest = await self.runner.manifest(key)
        plan = self._preset_plan(manifest, key, preset, own)
        row = CHECKPOINTS[plan.checkpoint]
        length = widgets.carried_frames(frames, seconds, self.mode.rows(), row, manifest.weights)
        sizes = row.sizes(manifest.weights)
        chosen: dict[str, Any] = {"choices": widgets.resolution_choices(row, manifest.weights)}
        # One that still fits is left alone: a picture may have set another while this was on its way.
        if resolution not in {r.size for r in sizes}:
            had = widgets.read_resolution({"resolution": resolution})
            near = widgets.nearest_resolution(sizes, had["width"], had["height"]) if had else None
            chosen["value"] = near.size if near else f"{plan.width}x{plan.height}"
        return {
            **self.preset_updates(plan, own),
            "resolution": gr.update(**chosen),
            "duration": widgets.duration_update(row, length),
            "num_frames": length,
        }

    async def _suggest_resolution(self, picture: MediaHandle | None, key: str, now: str = "") -> Any:
        size = widgets.picture_size(picture)
        if size is None:
            return gr.skip()
        sizes = _chosen(key).sizes((await self.runner.manifest(key)).weights)
        return widgets.nearest_resolution(self.alike(sizes, now), *size).size

    def alike(self, sizes: Sequence[Resolution], now: str) -> Sequence[Resolution]:
        """Those of `sizes` that a picture may choose among while the page shows `now`."""
        return sizes

def told(event: gr.EventData, name: str) -> Any:
    """What the browser says of an event; None where a program asks, which can send anything or nothing."""
    return event._data.get(name) if isinstance(event._data, dict) else None


def _frames_follow(key: str, seconds: float | None, frames: float | None) -> Any:
    row = _chosen(key)
    if seconds is None or (frames is not None and widgets.seconds_of(round(frames), row.fps) == seconds):
        return gr.skip()  # they agree already: a number that breaks a rule is told, not put right
    return widgets.frames_for(seconds, row)


def _chosen(key: object) -> Checkpoint:
    row = CHECKPOINTS.get(key) if isinstance(key, str) else None
    if row is None:
        raise InputError("checkpoint", "must be chosen", hint="choose a model")
    return row


def _example_value(example: Example, name: str) -> Any:
    value = example.values.get(name)
    path = EXAMPLES / str(value)
    return str(path) if value and path.is_file() else value
