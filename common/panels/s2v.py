"""The panel of speech to video: a speaker, the sound that decides how long the video is, and a pose to follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from common.contract import Manifest, MediaHandle, Plan
from common.errors import StudioError
from common.panels import widgets
from common.panels.base import Panel
from common.panels.events import QUIET
from common.panels.handles import measured
from common.panels.numbers import Number

BANNER = (
    '<div class="setgpu"><b>Quality only:</b> there is no Lightning for S2V, and Fast runs as Quality. '
    "The pipeline is Wan Studio's own, around diffusers' parts: diffusers has none for S2V.</div>"
)


class S2VPanel(Panel):
    """The length is read, not chosen: it follows the sound, of which a job may take less."""

    prompt_placeholder = "A cinematic close-up of a woman who speaks to the camera, soft window light"
    aspect_from = "image"

    def draw_inputs(self, shown: Plan) -> None:
        gr.HTML(BANNER)
        self.draw_slots()
        self.draw_prompt(lines=3)
        widgets.settings(self.inputs, self.mode, self._rows(self.initial), self.initial.weights, shown)
        self.lasts = gr.Textbox(
            label="Duration", placeholder="As long as the audio", interactive=False, elem_id="s2v-duration"
        )
        widgets.advanced(self.inputs, shown, opened=self.advanced_open, more=self.draw_advanced)
        # The header sets these in every panel; here there is nothing to choose.
        for name in ("preset", "duration", "num_frames"):
            self.inputs.components[name].visible = False
        self.inputs.readers.append(lambda raw: {"num_frames": None})

    def draw_advanced(self) -> None:
        info = "0: as many as the audio lasts"
        self.inputs.add("num_clip", Number(0, label="Segments at most", info=info, precision=0, minimum=0))
        self.inputs.readers.append(lambda raw: {"num_clip": raw["num_clip"] or None})

    def draw_outputs(self) -> None:
        self.video.loop = False  # nobody wants to hear a sentence again and again

    def _label_html(self, manifest: Manifest, values: Mapping[str, Any]) -> str:
        # What Fast becomes stands in the banner.
        return super()._label_html(manifest, {**values, "preset": "quality"})

    def words(self) -> dict[str, str]:
        return {**super().words(), "image_from": "Frame"}

    def wire_more(self) -> None:
        parts = self.inputs.components
        seen = [parts[name] for name in ("audio", "audio_seen", "num_clip", "checkpoint")]
        gr.on([part.change for part in seen], self._measured, seen, self.lasts, **QUIET)

    async def _measured(
        self, sound: MediaHandle | None, figures: MediaHandle | None, most: int | None, key: str
    ) -> str:
        known = measured(sound, figures) if sound else None
        if known is None or not known.seconds:
            return ""
        values = {"checkpoint": key, "audio": known, "num_clip": most or None}
        try:
            return duration(self.preview_plan(await self.runner.manifest(key), values), known.seconds)
        except StudioError:  # the label says why
            return _seconds(known.seconds)


def duration(plan: Plan, sound: float) -> str:
    """What becomes of so many seconds of sound."""
    count = len(plan.segments)
    made = f"{plan.num_frames} frames in {count} segment{'s' if count > 1 else ''}"
    if plan.clip_seconds < sound:
        return f"{_seconds(plan.clip_seconds)} of the audio's {_seconds(sound)}: {made}"
    return f"{_seconds(sound)}, driven by the audio: {made}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s"
