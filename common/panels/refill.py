"""Fills a panel with what a result's lineage says: what its plan did, with its seed held."""

from __future__ import annotations

from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS
from common.contract import Lineage
from common.errors import MediaError, StudioError
from common.panels import widgets
from common.panels.base import Panel


def refill(panel: Panel, lineage: Lineage) -> dict[Any, Any]:
    """Updates by component for a panel: what the plan did, with its seed held.

    What the file says nothing of is as on a fresh page.

    Media are not in the file (their hashes are): slots are left as they are. MediaError for settings that break a
    rule.
    """
    plan, here = lineage.plan, panel.inputs.components
    checkpoint = CHECKPOINTS[plan.checkpoint]
    fields = {*panel.mode.request_type.model_fields} - {slot.name for slot in panel.mode.slots}
    values: dict[str, Any] = {
        **{name: part.value for name, part in here.items() if name in fields},
        **_request(panel, lineage),
        "negative_prompt": plan.negative_prompt,
        "checkpoint": gr.update(
            choices=widgets.checkpoint_choices(
                [c for c in panel.mode.rows() if c.generation == checkpoint.generation]
            ),
            value=plan.checkpoint,
        ),
        "preset": plan.requested_preset,
        "resolution": gr.update(
            choices=widgets.resolution_choices(checkpoint, plan.weights), value=f"{plan.width}x{plan.height}"
        ),
        "duration": widgets.duration_update(checkpoint, plan.num_frames),
        "num_frames": plan.num_frames,
        "whole_clip": "num_frames" not in lineage.request,
        **widgets.preset_updates(plan),
        "seed": plan.seed,
        "randomize": False,
    }
    return panel.inputs.shown({name: value for name, value in values.items() if name in here})


def _request(panel: Panel, lineage: Lineage) -> dict[str, Any]:
    """What a stranger's file asks for: fields of this mode's own request, no media, held against every rule.

    A path in a file is somebody else's, and a component that is given one fetches it and shows it.
    """
    mode, plan = panel.mode, lineage.plan
    slots = {slot.name for slot in mode.slots}
    asked = {
        k: v for k, v in lineage.request.items() if k in mode.request_type.model_fields and k not in slots
    }
    decided = {name: getattr(plan, name) for name in _DECIDED} | {"preset": plan.requested_preset}
    values = {name: value for name, value in (asked | decided).items() if value is not None}
    try:
        request = mode.parse(values | panel.missing(values))
        mode.plan(request, weights=plan.weights)
    except StudioError as error:
        raise MediaError("video", f"holds settings that this Studio does not take: {error}") from None
    return {name: _shown(getattr(request, name)) for name in asked}


_DECIDED = (
    "negative_prompt", "checkpoint", "width", "height", "num_frames", "num_inference_steps", "guidance_scale",
    "guidance_scale_2", "flow_shift", "seed",
)  # fmt: skip


def _shown(value: Any) -> Any:
    """A request's value as a component holds it: lists of numbers are typed as text."""
    return ", ".join(f"{v:g}" for v in value) if isinstance(value, list) else value
