"""The panel of Animate: a character above a driving video, what to do with both, and what was read of the video."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from html import escape
from typing import Any

import gradio as gr

from common.catalog import ANNOTATORS, CHECKPOINTS, Checkpoint, Resolution, Weights
from common.contract import MediaHandle, Performance, Plan
from common.errors import Cancelled, StudioError
from common.modes.animate import OWN, RELIGHT, SCENE, reads_pose, segment_law
from common.panels import widgets
from common.panels.base import Panel
from common.panels.card import Card
from common.panels.events import ONCE, QUIET, TOLD
from common.panels.handles import HandleVideo
from common.panels.menus import Menu
from common.panels.stopping import until
from common.run.runner import explain

TASKS: Mapping[str, tuple[str, str]] = {
    "animate": ("Animate", "The character does what is done in the video, in its own picture."),
    "retarget": ("Pose retarget", "The same, with the pose fitted to the character's own proportions."),
    "replace": ("Replace (keeps the scene)", "The character takes the place of who is in the video."),
}
"""What the menu offers: its name and what it does."""
LOOKS = "The model looks at the driving video itself: nothing has to be read of it first."
READS = (
    "Pose and face are read from the driving video on the CPU, before the GPU call: a few frames a second. What was "
    "read once is kept."
)
LOW, MEDIUM = "Low (480p)", "Medium (720p)"
MEDIUM_AREA = 1280 * 704
OUTPUTS_ID = "animate-outputs"
LABELS = {"pose_video": "Pose", "face_video": "Face", "background_video": "Background", "mask_video": "Mask"}
PREPROCESSORS = {
    "auto": "Automatic", "vitpose": f"{ANNOTATORS['vitpose'].name}, a download",
    "mediapipe": "MediaPipe (faces), a package", "opencv": "OpenCV (head and shoulders), nothing to download",
}  # fmt: skip
OWN_NOTE = (
    '<p class="dim">In place of what is read of the driving video: download one from the processing outputs, change '
    "it, and give it back here.</p>"
)


class AnimatePanel(Panel):
    """What the chosen model cannot do is not there; the intermediate videos can be seen before Generate and after."""

    prompt_placeholder = "A person is dancing (may stay empty)"
    aspect_from = "video"

    def draw_inputs(self, shown: Plan) -> None:
        self.groups: dict[str, Any] = {}
        weights, row = self.initial.weights, CHECKPOINTS[shown.checkpoint]
        self.draw_slots()
        self._draw_tasks(row, weights)
        widgets.settings(
            self.inputs, self.mode, self._rows(self.initial), weights, shown,
            size="Size", more=lambda: self._draw_qualities(row.sizes(weights), f"{shown.width}x{shown.height}"),
        )  # fmt: skip
        self.inputs.components["duration"].minimum = least_seconds(weights)
        widgets.whole_clip(self.inputs)
        self.draw_prompt(lines=2)
        self._draw_look(row)
        widgets.advanced(self.inputs, shown, opened=self.advanced_open, more=self.draw_advanced)
        self._draw_own(row)

    def draw_slots(self) -> None:
        slots = {slot.name: slot for slot in self.mode.slots}
        widgets.media_slot(self.inputs, slots["image"], frame_choice=True)
        widgets.media_slot(self.inputs, slots["video"], frame_choice=False)

    def _draw_tasks(self, row: Checkpoint, weights: Weights) -> None:
        # Whoever sets these from outside (an example, a restored file) finds the menu beside them.
        self.inputs.add("animate_mode", gr.Textbox("animate", visible=False))
        self.inputs.add("retarget", gr.Checkbox(False, visible=False))
        self.task = gr.Radio(
            tasks(row), value="animate", label="Mode", visible=len(tasks(row)) > 1, elem_classes="families"
        )
        self.about = gr.HTML(_about("animate"))

    def _draw_qualities(self, sizes: Sequence[Resolution], size: str) -> None:
        menu = qualities(sizes)
        self.quality = gr.Radio(
            menu, value=quality(size), label="Resolution", visible=len(menu) > 1, elem_classes="segmented"
        )

    def _draw_look(self, row: Checkpoint) -> None:
        with self._group("look", shown=reads_pose(row)):
            gr.HTML(f'<p class="dim">⚠ {escape(READS)}</p>')
            with gr.Row(elem_classes="looking"):
                self.look = gr.Button("Preview the processing", size="sm", elem_id="animate-prepare", scale=3)
                self._halt = gr.Button("Stop", variant="stop", size="sm", visible=False, scale=1)
            self.said = gr.HTML("")
        with self._group("no_look", shown=not reads_pose(row)):
            gr.HTML(f'<p class="dim">{escape(LOOKS)}</p>')

    def draw_advanced(self) -> None:
        add, row = self.inputs.add, self._rows(self.initial)[0]
        can = possible(row, replaces=False, weights=self.initial.weights)
        with self._group("prev_segment_conditioning_frames", can):
            add(
                "prev_segment_conditioning_frames",
                gr.Radio(
                    [("1", 1), ("5 (smoother)", 5)], value=1, label="Frames taken over between segments",
                    elem_classes="segmented",
                ),
            )  # fmt: skip
        with self._group("preprocessor", can):
            choices = [(label, key) for key, label in PREPROCESSORS.items()]
            add(
                "preprocessor",
                Menu(choices, value="auto", label="Who finds pose, face and mask", filterable=False),
            )
        with self._group("relight", can):
            add("relight", gr.Checkbox(False, label="Give the character the scene's light (relighting LoRA)"))

    def _draw_own(self, row: Checkpoint) -> None:
        can = possible(row, replaces=False, weights=self.initial.weights)
        slots = {slot.name: slot for slot in self.mode.slots}
        with (
            self._group("own", shown=reads_pose(row)),
            gr.Accordion("Intermediate videos of your own", open=False),
        ):
            gr.HTML(OWN_NOTE)
            for name in OWN:
                with self._group(name, can):
                    widgets.clip_input(
                        self.inputs, name, slots[name].label, height=160, elem_id=f"animate-{name}"
                    )

    def _group(self, name: str, can: set[str] | None = None, *, shown: bool = True) -> gr.Column:
        """What comes and goes with the model and the task."""
        visible = shown if can is None else name in can
        self.groups[name] = gr.Column(visible=visible, elem_classes="shaped")
        return self.groups[name]

    def draw_outputs(self) -> None:
        row = self._rows(self.initial)[0]
        with (
            self._group("outputs", shown=reads_pose(row)),
            gr.Accordion("Processing outputs", open=False, elem_id=OUTPUTS_ID) as self.outputs,
        ):
            self.noted = gr.HTML('<p class="dim">What is read of the driving video is shown here.</p>')
            with gr.Row(elem_classes="tight"):
                pose, face = (self._clip(name) for name in ("pose_video", "face_video"))
            with gr.Row(elem_classes="tight", visible=False) as self.scene:
                background, mask = (self._clip(name) for name in SCENE)
        self.clips = [pose, face, background, mask]

    def _clip(self, name: str) -> HandleVideo:
        return HandleVideo(
            label=LABELS[name], interactive=False, autoplay=True, loop=True, height=170, buttons=["download"],
            min_width=140, elem_id=f"animate-{name.removesuffix('_video')}-shown",
        )  # fmt: skip

    # ------------------------------------------------------------------ values

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]:
        """Only what the model and the task read is sent: a hidden input says nothing."""
        values = super().values(raw)
        row = self._row(values)
        if values.get("animate_mode") not in row.animates:
            values["animate_mode"] = row.animates[0]
        can = possible(row, replaces=values["animate_mode"] == "replace", weights="wan")
        hidden = {"retarget", "relight", "preprocessor", "prev_segment_conditioning_frames", *OWN} - can
        return {name: value for name, value in values.items() if name not in hidden}

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A driving video, unless all that is read of it is given."""
        empty = super().missing(values)
        replaces = values.get("animate_mode") == "replace"
        needed = [name for name in OWN if replaces or name not in SCENE]
        brought = reads_pose(self._row(values)) and all(values.get(name) for name in needed)
        if not values.get("video") and not brought:
            empty["video"] = widgets.NO_FILE
        return empty

    def _row(self, values: Mapping[str, Any]) -> Checkpoint:
        return CHECKPOINTS.get(values.get("checkpoint") or "", self.mode.rows()[0])

    def alike(self, sizes: Sequence[Resolution], now: str) -> Sequence[Resolution]:
        """The driving video decides the shape, the page how large it is."""
        return [size for size in sizes if quality(size.size) == quality(now)] or sizes

    async def checkpoint_changed(self, key: str, *shown: Any, **more: Any) -> dict[str, Any]:
        updates = await super().checkpoint_changed(key, *shown, **more)
        updates["duration"]["minimum"] = least_seconds((await self.runner.manifest(key)).weights)
        return updates

    def words(self) -> dict[str, str]:
        return {**super().words(), "animate_mode": "Mode", "retarget": "Pose retarget", "image_from": "Frame"}

    # ------------------------------------------------------------------ events

    def wire_more(self) -> None:
        parts = self.inputs.components
        widgets.wire_whole_clip(self.inputs)
        state = [parts[name] for name in ("checkpoint", "animate_mode", "retarget")]
        self.task.input(None, self.task, state[1:], js=_CHOSEN, **QUIET)
        gr.on(
            [part.change for part in state],
            self._reshaped, state, [self.task, self.about, *self.groups.values()], **QUIET,
        )  # fmt: skip
        size = parts["resolution"]
        # A model may come back to the size of the one before: that is no change of the size.
        gr.on(
            [size.change, parts["checkpoint"].change],
            self._qualities, [parts["checkpoint"], size], self.quality, **QUIET,
        )  # fmt: skip
        self.quality.input(self._sized, [self.quality, parts["checkpoint"], size], size, **QUIET)
        job = gr.Textbox(visible=False)
        strip = [self.said, self.look, self._halt]
        shown = [self.noted, self.outputs, self.scene, *self.clips]
        at_once = json.dumps(_strip(Card.clicked().card(), busy=True))
        self.look.click(
            None, None, [job, *strip],
            js=f"() => [window.wanJob(), ...{at_once}]", **QUIET,
        ).then(
            self._prepare, [job, *parts.values()], [*strip, *shown],
            **TOLD,
        ).success(None, None, None, js=_TO_OUTPUTS, **QUIET)  # fmt: skip
        self._halt.click(
            None, None, [self.said, self._halt],
            js=f"() => {json.dumps([Card.stopping().card(), gr.update(interactive=False)])}", **QUIET,
        )  # fmt: skip
        self._halt.click(self._stop_looking, job, strip, **ONCE)
        # Of the job's own values, not of the page's, which may be others by now: of those all is kept, and costs
        # nothing.
        self.made: dict[str, tuple[Any, ...]] = {}
        self.running.success(
            self._show_made, None, shown,
            **TOLD,
        )  # fmt: skip

    async def _reshaped(self, key: str, animate_mode: str, retarget: bool) -> list[Any]:
        weights = (await self.runner.manifest(key)).weights
        row = CHECKPOINTS.get(key, self.mode.rows()[0])
        replaces = animate_mode == "replace" and "replace" in row.animates
        can = possible(row, replaces=replaces, weights=weights)
        task = "replace" if replaces else "retarget" if retarget and "retarget" in can else "animate"
        menu = tasks(row)
        return [
            gr.update(choices=menu, value=task, visible=len(menu) > 1),
            _about(task),
            *[gr.update(visible=name in can) for name in self.groups],
        ]

    async def _qualities(self, key: str, size: str) -> Any:
        sizes = CHECKPOINTS.get(key, self.mode.rows()[0]).sizes((await self.runner.manifest(key)).weights)
        menu = qualities(sizes)
        now = quality(size)
        return gr.update(choices=menu, value=now if now in menu else menu[0], visible=len(menu) > 1)

    async def _sized(self, wanted: str, key: str, size: str) -> Any:
        sizes = CHECKPOINTS.get(key, self.mode.rows()[0]).sizes((await self.runner.manifest(key)).weights)
        had = widgets.read_resolution({"resolution": size})
        fitting = [s for s in sizes if quality(s.size) == wanted]
        if not had or not fitting:
            return gr.skip()
        return widgets.nearest_resolution(fitting, had["width"], had["height"]).size

    async def _generate(
        self, request: gr.Request, job: str, visitor: str, had_video: bool, *raw: Any
    ) -> AsyncGenerator[list[Any], None]:
        page = getattr(request, "session_hash", None) or ""
        self.made.pop(page, None)
        async with aclosing(super()._generate(request, job, visitor, had_video, *raw)) as updates:
            async for update in updates:
                if isinstance(update[0], MediaHandle):
                    self.made[page] = raw
                yield update

    async def _show_made(self, request: gr.Request) -> AsyncGenerator[list[Any], None]:
        raw = self.made.pop(request.session_hash or "", None)
        values = self.values(raw) if raw else {}
        if not values or not reads_pose(self._row(values)):
            return
        try:
            async with aclosing(self.prepared(values, dict(request.headers))) as items:
                async for item in items:
                    if isinstance(item, Performance):
                        notes, _, *clips = _shown(item)
                        yield [notes, gr.skip(), *clips]  # who wants to see them opens it
        except Exception as error:
            yield [_told(self.in_words(explain(error))), *[gr.skip()] * (2 + len(self.clips))]

    async def _prepare(self, request: gr.Request, job: str, *raw: Any) -> AsyncGenerator[list[Any], None]:
        said, shown = "", [gr.skip()] * (3 + len(self.clips))
        stop = self.stops.begin(job)
        try:
            looking = self.prepared(self.values(raw), dict(request.headers))
            async with aclosing(until(stop, looking)) as items:
                async for item in items:
                    if isinstance(item, Performance):
                        shown = _shown(item)
                    elif isinstance(item, str):
                        yield [item, gr.skip(), gr.skip(), *shown]
        except Cancelled:
            said = Card.clicked().stopped().card()
        except Exception as error:
            said = _told(self.in_words(explain(error)))
        finally:
            self.stops.end(job)
        yield [*_strip(said), *shown]

    async def _stop_looking(self, job: str) -> list[Any]:
        return [gr.skip()] * 3 if self.stops.stop(job) else _strip(Card.clicked().stopped().card())


def _strip(said: str, *, busy: bool = False) -> list[Any]:
    """What stands under the button that looks, and that button with its Stop."""
    return [said, gr.update(interactive=not busy), gr.update(visible=busy, interactive=True)]


def _shown(made: Performance) -> list[Any]:
    """What was made, in its accordion: notes, that it is open, whether there is a scene, and the clips."""
    notes = "".join(f'<p class="notice">{escape(t)}</p>' for t in made.notices if "Lightning" not in t)
    replaces = made.mask_video is not None
    clips = [getattr(made, name) for name in LABELS]
    return [notes, gr.update(open=True), gr.update(visible=replaces), *clips]


def _told(error: StudioError) -> str:
    return f'<p class="notice" role="alert">{escape(error.text)}</p>'


_CHOSEN = "(task) => [task === 'replace' ? 'replace' : 'animate', task === 'retarget']"
_TO_OUTPUTS = f"""() => {{
    const shown = document.querySelector('#{OUTPUTS_ID}');
    if (shown?.querySelector('video')) shown.scrollIntoView({{behavior: 'smooth', block: 'nearest'}});
}}"""


def tasks(row: Checkpoint) -> list[tuple[str, str]]:
    """What a model can do with a character and a performance: label and key."""
    able = {*row.animates, *(["retarget"] if reads_pose(row) else [])}
    return [(label, key) for key, (label, _) in TASKS.items() if key in able]


def possible(row: Checkpoint, *, replaces: bool, weights: Weights) -> set[str]:
    """The inputs and outputs that there are with a model: a model that looks for itself is given nothing made."""
    can = {"prev_segment_conditioning_frames"} if len(segment_law(row).carried) > 1 else set[str]()
    if not reads_pose(row):
        return can | {"no_look"}
    can |= {"look", "own", "outputs", *(name for name in OWN if replaces or name not in SCENE)}
    can |= {"preprocessor"} if weights == "wan" else set()
    if replaces:
        return can | ({"relight"} if RELIGHT in row.attachable(weights) else set())
    return can | {"retarget"}


def least_seconds(weights: Weights) -> float:
    """Where the duration begins: one second, of which Wan-Nano's whole segment is a half."""
    return 0.1 if weights == "nano" else 1


def quality(size: str) -> str:
    """How large a size is, in the words of its menu."""
    found = widgets.read_resolution({"resolution": size})
    return MEDIUM if found and found["width"] * found["height"] >= MEDIUM_AREA else LOW


def qualities(sizes: Sequence[Resolution]) -> list[str]:
    """The qualities that there are sizes of."""
    return list(dict.fromkeys(quality(size.size) for size in sizes))


def _about(task: str) -> str:
    return f'<p class="dim">{escape(TASKS[task][1])}</p>'
