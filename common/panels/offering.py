"""Offers under Generate: what to ask for instead of a job that does not fit, set by one click."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any, Protocol

import gradio as gr

from common.catalog import CHECKPOINTS
from common.contract import Backend, Manifest, Plan
from common.errors import StudioError
from common.modes.base import Mode
from common.modes.offers import MOST, Offer, offers
from common.panels import texts, widgets
from common.panels.events import QUIET, TOLD
from common.panels.widgets import Inputs
from common.quota import Left, Quotas
from common.run.runner import Runner

_SETS = (
    "checkpoint", "preset", "num_inference_steps", "flow_shift", "guidance_scale", "guidance_scale_2", "resolution",
    "duration", "num_frames", "whole_clip", "num_clip",
)  # fmt: skip
_HEADER = """(name) => {
    // In the Studio the preset stands in the header, for all modes.
    if (/^Fast\\b/.test(name)) document.querySelector('.studio-header .preset input[value=fast]')?.click();
}"""


class Page(Protocol):
    """What is used of a panel."""

    runner: Runner
    mode: Mode
    inputs: Inputs
    initial: Manifest
    stale: Any
    label: Any
    running: Any

    def values(self, raw: tuple[Any, ...]) -> dict[str, Any]: ...

    def missing(self, values: Mapping[str, Any]) -> dict[str, Any]: ...

    async def checkpoint_changed(self, key: str, *shown: Any, **more: Any) -> dict[str, Any]: ...

    async def _relabel(self, *raw: Any) -> str: ...


class Offering:
    """The row of offers of one panel, drawn below its label; it also remembers what the Hub said of a quota."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.quotas = Quotas()
        first = self._found(page.initial, {}, None)
        with gr.Row(visible=bool(first), elem_classes="offers") as self.row:
            self.words = gr.HTML(_words(page.initial.backend, None), elem_classes="offers-words")
            names = [name_of(offer) for offer in first]
            self.buttons = [
                gr.Button(names[i] if i < len(names) else "", size="sm", visible=i < len(names), min_width=80)
                for i in range(MOST)
            ]

    def wire(self) -> None:
        """Events; draws the label too, since both are of one plan."""
        page, parts = self.page, self.page.inputs.components
        everything, shown = list(parts.values()), [self.page.label, self.words, self.row, *self.buttons]
        page.stale.change(self.relabel, everything, shown, **QUIET)
        page.running.then(self.relabel, everything, shown, **QUIET)
        sets = [parts[name] for name in _SETS if name in parts]
        for button in self.buttons:
            button.click(self._take, [button, *everything], sets, **TOLD).success(
                None, button, None, js=_HEADER, **QUIET
            )

    async def relabel(self, request: gr.Request, *raw: Any) -> list[Any]:
        """The label, and the offers of these values."""
        left = self.quotas.of(getattr(request, "session_hash", None))
        label = await self.page._relabel(*raw)
        manifest, values = await self._asked(raw)
        zero = manifest.backend.gpu_size is not None
        if zero and left is not None:
            label += f'<p class="line dim">{escape(left.words(self.quotas.clock()))}</p>'
        found = self._found(manifest, values, left)
        if not found:
            return [label, gr.skip(), gr.update(visible=False), *[gr.skip()] * MOST]
        names = [name_of(offer) for offer in found] + [""] * (MOST - len(found))
        buttons = [gr.update(value=name, visible=bool(name)) for name in names]
        return [label, _words(manifest.backend, left), gr.update(visible=True), *buttons]

    async def _asked(self, raw: tuple[Any, ...]) -> tuple[Manifest, dict[str, Any]]:
        values = self.page.inputs.measured(self.page.values(raw), raw)
        return await self.page.runner.manifest(values.get("checkpoint")), values

    def _found(self, manifest: Manifest, values: Mapping[str, Any], left: Left | None) -> list[Offer]:
        whole = {**values, **self.page.missing(values)}
        return offers(self.page.mode, manifest, whole, left.seconds if left else None)

    async def _take(self, request: gr.Request, name: str, *raw: Any) -> dict[Any, Any]:
        """Sets the inputs as the offer of that name says, of those that these values have."""
        manifest, values = await self._asked(raw)
        left = self.quotas.of(getattr(request, "session_hash", None))
        offer = next((o for o in self._found(manifest, values, left) if name_of(o) == name), None)
        if offer is None:
            raise StudioError(
                "The inputs have changed since; look at the offers again.", title="Not on offer now"
            )
        shown = dict(zip(self.page.inputs.components, raw, strict=True))
        updates = await self._updates(offer, shown)
        return self.page.inputs.shown({n: u for n, u in updates.items() if n in self.page.inputs.components})

    async def _updates(self, offer: Offer, shown: Mapping[str, Any]) -> dict[str, Any]:
        changes, plan, updates = offer.changes, offer.plan, dict[str, Any]()
        if "checkpoint" in changes:
            now = (shown.get(name) for name in ("resolution", "duration", "num_frames"))
            updates = await self.page.checkpoint_changed(plan.checkpoint, plan.requested_preset, *now)
            updates["checkpoint"] = plan.checkpoint
        if "preset" in changes:
            updates |= {**widgets.preset_updates(plan), "preset": "fast"}
        if "width" in changes:
            size = f"{plan.width}x{plan.height}"
            updates["resolution"] = {**updates.get("resolution", gr.update()), "value": size}
        if "num_frames" in changes:
            length = widgets.duration_update(CHECKPOINTS[plan.checkpoint], plan.num_frames)
            updates["duration"] = {**updates.get("duration", {}), **length}
            updates |= {"num_frames": plan.num_frames, "whole_clip": False}
        if "num_clip" in changes:
            updates["num_clip"] = changes["num_clip"]
        return updates


def name_of(offer: Offer) -> str:
    """What stands on its button: the change, and what the job then costs."""
    return f"{offer.text} ({_price(offer.plan)})"


def _price(plan: Plan) -> str:
    return f"~{plan.gpu_seconds} s" if plan.gpu_size else f"about {texts.seconds(plan.expected_seconds)}"


def _words(backend: Backend, left: Left | None) -> str:
    if backend.gpu_size is None:
        text = f"Fits {texts.place(backend)}:"
    elif left is not None:
        text = "Fits what is left:"
    else:
        text = "Fits a free account’s day:"
    return f'<p class="dim">{escape(text)}</p>'
