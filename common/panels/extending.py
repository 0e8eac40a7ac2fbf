"""Extend: a result goes on from its end with what it was made with, and both become one video, by one click."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import gradio as gr

from common.catalog import CHECKPOINTS, Checkpoint
from common.contract import Lineage, Manifest, MediaHandle, ModeKey
from common.errors import InputError, StudioError
from common.media.lineage import read_lineage
from common.modes.base import Mode
from common.page.blocks import as_gradio_errors
from common.page.gate import own_file
from common.panels import refill, widgets
from common.panels.base import Panel
from common.panels.events import QUIET, TOLD

GOES_ON: Final[Mapping[ModeKey, tuple[str, Mapping[str, Any]]]] = {
    "i2v": ("image", {"image_from": "last", "join": True}),
    "vace": ("video", {"submode": "firstclip", "join": True}),
}
"""The modes that a clip may go on in: the slot that it fills, and what is asked for with it."""

_LIKE: Final = (
    "negative_prompt", "num_frames", "num_inference_steps", "guidance_scale", "guidance_scale_2", "flow_shift",
    "hybrid", "conditioning_scale",
)  # fmt: skip
"""What is asked for again where the same model of the same mode goes on."""

PRESS = """(mode) => {
    const page = document.querySelector(`.page-${CSS.escape(mode)}`) ?? document;
    // Generate, or while a job runs there what adds another behind it.
    [...page.querySelectorAll('.actions button')].find(
        (button) => !button.disabled && !button.classList.contains('stop') && button.offsetParent)?.click();
}"""

_PICK = """(...now) => {
    const modes = %s, here = modes.length === 1 ? modes[0] : document.body.dataset.page;
    return now.map((value, i) => i < modes.length && modes[i] !== here ? null : value);
}"""
"""Of the videos of all modes, only the one under which was clicked."""

Refill = Callable[[Lineage, str], dict[Any, Any]]


def target_of(made: ModeKey, here: Collection[ModeKey]) -> ModeKey | None:
    """The mode that a result of `made` goes on in: VACE sees several of its frames move, I2V the last one."""
    order: tuple[ModeKey, ...] = ("vace", "i2v") if made == "vace" else ("i2v", "vace")
    return next((mode for mode in order if mode in here), None)


def continuation(
    made: Lineage, by: Mode[Any], clip: MediaHandle, mode: Mode[Any], manifest: Manifest
) -> Lineage:
    """What will be asked of `mode`, as the lineage that its result would have: prompt, model and size as before.

    `by` is the mode that has made the clip.

    InputError where the video would become too long, or nobody carries a model for it.
    """
    slot, asked = GOES_ON[mode.key]
    plan, rows = made.plan, [CHECKPOINTS[i.key] for i in manifest.checkpoints if i.key in CHECKPOINTS]
    if not rows:
        raise InputError("checkpoint", f"has no choice for {mode.title} here")
    was = CHECKPOINTS.get(plan.checkpoint)

    def unlike(row: Checkpoint) -> tuple[bool, ...]:
        sizes = {(r.width, r.height) for r in row.sizes(manifest.weights)}
        other = was is not None and row.generation != was.generation
        return row.key != plan.checkpoint, other, row.fps != plan.fps, (plan.width, plan.height) not in sizes

    row = min(rows, key=unlike)
    size = widgets.nearest_resolution(
        [r for r in row.sizes(manifest.weights) if (r.width, r.height) == (plan.width, plan.height)]
        or row.sizes(manifest.weights), plan.width, plan.height,
    )  # fmt: skip
    prompt = str(made.request.get("prompt") or "").strip() or by.default_prompt
    values: dict[str, Any] = {
        "prompt": prompt, "checkpoint": row.key, "preset": plan.requested_preset,
        "width": size.width, "height": size.height, **asked,
    }  # fmt: skip
    if (mode.key, row.key) == (plan.mode, plan.checkpoint):
        known = mode.request_type.model_fields
        values |= {name: made.request[name] for name in _LIKE if name in made.request and name in known}
    known_clip = clip.model_copy(
        update={"frames": plan.whole_frames, "fps": float(plan.fps), "seconds": plan.clip_seconds,
                "width": plan.width, "height": plan.height, "mime": "video/mp4"}
    )  # fmt: skip
    will = mode.plan_by(manifest, {**values, slot: known_clip})
    return Lineage(request=values, plan=will, seed=will.seed, versions={}, git_sha="", created="")


def noted(video: MediaHandle) -> Lineage | None:
    """The lineage of a result that lies on this machine."""
    try:
        return read_lineage(own_file(video.path, "video"))
    except StudioError:
        return None


class Extending:
    """The button under each result of these panels. `lineage_of` knows what a result was made from."""

    def __init__(
        self, panels: Mapping[ModeKey, Panel], lineage_of: Callable[[MediaHandle], Lineage | None] = noted
    ) -> None:
        self.panels, self.lineage_of = panels, lineage_of
        self.buttons: list[gr.Button] = []

    def draw(self) -> None:
        """The buttons; the style sheet shows one once its panel has a video."""
        for panel in self.panels.values():
            with panel.below:
                self.buttons.append(gr.Button("Extend", size="sm", elem_classes="extend", scale=0, min_width=96))

    def wire(
        self, wish: gr.Textbox, went: gr.Textbox, outputs: list[Any], refilled: Refill | None = None
    ) -> Any:
        """The event that fills the panel which goes on, and tells `went` which; PRESS comes after it.

        `refilled` makes updates of a lineage, where a page has more to set than the panel.
        """
        order: list[ModeKey] = list(self.panels)

        async def extend(*now: Any) -> dict[Any, Any]:
            *videos, wished = now
            with as_gradio_errors():
                at = next((i for i, video in enumerate(videos) if video is not None), None)
                if at is None:
                    raise InputError("video", "is required", hint="generate one first; then it can be extended")
                video: MediaHandle = videos[at]
                panel, lineage = await self.begin(order[at], video)
                updates = refilled(lineage, wished) if refilled else refill.refill(panel, lineage)
                parts = panel.inputs.components
                shown = {**_slot(panel, video), "randomize": True}
                return {**updates, **{parts[name]: value for name, value in shown.items()}, went: panel.mode.key}

        return gr.on(
            [button.click for button in self.buttons], extend,
            [*(panel.video for panel in self.panels.values()), wish], [went, *outputs],
            js=_PICK % json.dumps(order), **{**TOLD, "trigger_mode": "once"},
        )  # fmt: skip

    def alone(self) -> None:
        """Draws and wires it on the page of a single mode."""
        self.draw()
        (panel,) = self.panels.values()
        went = gr.Textbox(visible=False)
        filled = self.wire(gr.Textbox(visible=False), went, [*panel.inputs.components.values()])
        filled.success(None, went, None, js=PRESS, **QUIET)

    async def begin(self, made: ModeKey, video: MediaHandle) -> tuple[Panel, Lineage]:
        """The panel in which a mode's result goes on, and what it will be asked."""
        target, lineage = target_of(made, self.panels), self.lineage_of(video)
        if target is None or lineage is None:
            raise InputError("video", "tells nothing of what it was made from", hint="use Send to instead")
        panel = self.panels[target]
        manifest = await panel.runner.manifest(lineage.plan.checkpoint)
        return panel, continuation(lineage, self.panels[made].mode, video, panel.mode, manifest)


def _slot(panel: Panel, clip: MediaHandle) -> dict[str, Any]:
    """The clip in the slot of the mode that goes on, by component."""
    slot, _ = GOES_ON[panel.mode.key]
    if slot in panel.inputs.components:
        return {slot: clip}
    return {f"{slot}_source": "clip", f"{slot}_clip": clip, f"{slot}_moment": "last", f"{slot}_second": 0}
