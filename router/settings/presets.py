"""The form of preset defaults: steps and guidance of Fast and Quality, by mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any

import gradio as gr

from common.catalog import CHECKPOINTS, MAX_STEPS, PresetName
from common.contract import Manifest, ModeKey, Plan
from common.errors import InputError
from common.modes import rules
from common.modes.all import MODES
from common.modes.base import PRESETS, Mode
from common.panels.base import Panel
from common.panels.events import QUIET, TOLD
from common.panels.menus import Menu
from common.panels.numbers import Number
from common.panels.own import NONE, ModeDefaults, PresetDefaults
from router.settings.defaults import Defaults
from router.settings.tables import section

LABELS: Mapping[PresetName, str] = {"fast": "Fast", "quality": "Quality"}


class Presets:
    """Drawn inside the Settings page. What it sets goes to the panels at once, and to every later visit."""

    def __init__(
        self, defaults: Defaults, panels: Mapping[ModeKey, Panel], known: Callable[[Mode], Manifest]
    ) -> None:
        self.defaults = defaults
        self._known = known
        self.panels = panels

    def draw(self) -> None:
        """The form, at its first mode."""
        where = "on this machine" if self.defaults.file else "in this browser"
        gr.HTML(
            section(
                "Preset defaults per mode",
                f"What a preset sets from now on, kept {where}. Empty is the model's own. What a panel shows is what "
                "counts: it may be changed there for one job.",
                "",
            )
        )
        first = next(iter(self.panels))
        modes = [(mode.title, key) for key, mode in MODES.items() if key in self.panels]
        self.mode = Menu(modes, value=first, label="Mode", filterable=False, elem_id="defaults-mode")
        self.numbers: list[Any] = []
        with gr.Row(elem_classes="defaults"):
            for preset in PRESETS:
                with gr.Group(elem_id=f"defaults-{preset}"):
                    label = LABELS[preset]
                    self.numbers += [
                        Number(None, label=f"{label}: steps", minimum=1, maximum=MAX_STEPS, step=1, min_width=110),
                        Number(
                            None, label=f"{label}: guidance (CFG)", minimum=0, maximum=rules.MAX_GUIDANCE, step=0.1,
                            min_width=110,
                        ),
                    ]  # fmt: skip
        self.hybrid = gr.Checkbox(
            False, label="Fast on Wan 2.2 with the Wan 2.1 LoRA (hybrid; I2V alone)", visible=False,
            elem_id="defaults-hybrid",
        )  # fmt: skip
        with gr.Row(elem_classes="saving"):
            self.save = gr.Button("Save defaults", size="sm", variant="primary", scale=0, min_width=150)
            self.reset = gr.Button("Reset to the models' own", size="sm", scale=0, min_width=210)
        self.word = gr.HTML("", elem_id="defaults-word")

    @property
    def fields(self) -> list[Any]:
        """What the form shows of a mode."""
        return [*self.numbers, self.hybrid]

    def wire(self) -> None:
        """Events; `opened` is for who opens the page."""
        stored = self.defaults.stored
        choosing = [panel.inputs.components[n] for panel in self.panels.values() for n in ("checkpoint", "preset")]
        sets = [p.inputs.components[n] for p in self.panels.values() for n in p.presets]
        self.mode.select(self._shown, [self.mode, stored], [*self.fields, self.word], **QUIET)
        outputs = [stored, *self.fields, self.word, *sets]
        self.save.click(self._save, [self.mode, stored, *self.fields, *choosing], outputs, **TOLD)
        self.reset.click(self._reset, [self.mode, stored, *choosing], outputs, **TOLD)
        self.opened = (self._opened, [self.mode, stored, *choosing], [*self.fields, self.word, *sets])
        if self.defaults.file is None:
            stored.change(*self.opened, **QUIET)  # a busy browser reads what it has kept after the page has begun

    async def _opened(self, mode: str, stored: object, *choosing: Any) -> dict[Any, Any]:
        """The form as it was kept, and in every panel the defaults of its mode."""
        updates = self._shown(mode, stored)
        for key in self.defaults.modes(stored):
            updates |= await self._in_panel(key, self.defaults.of(key, stored), choosing)
        return updates

    def _shown(self, mode: str, stored: object) -> dict[Any, Any]:
        panel = self._panel(mode)
        own, models = self.defaults.of(panel.mode.key, stored), self._models(panel)
        updates: dict[Any, Any] = {}
        for i, preset in enumerate(PRESETS):
            plan, mine = models[preset], own.values(preset)
            names = ("num_inference_steps", "guidance_scale")
            for number, name in zip(self.numbers[2 * i : 2 * i + 2], names, strict=True):
                shown = mine.get(name, getattr(plan, name, None))
                updates[number] = gr.update(value=shown, visible=plan is not None)
        updates[self.hybrid] = gr.update(value=own.hybrid, visible="hybrid" in panel.presets)
        return updates | {self.word: self._word(panel, own, models, stored)}

    def _word(
        self, panel: Panel, own: ModeDefaults, models: Mapping[PresetName, Plan | None], stored: object
    ) -> str:
        lacking = [LABELS[preset] for preset, plan in models.items() if plan is None]
        words = [f"No model of {panel.mode.title} has {name} here." for name in lacking]
        words += ["These are the models' own." if own == NONE else "These are yours."]
        text = " ".join(words)
        broken = self.defaults.word(stored)
        wrong = f'<p class="notice" role="alert">{escape(broken)}</p>' if broken else ""
        return f'{wrong}<p class="line dim" role="status">{escape(text)}</p>'

    def _models(self, panel: Panel) -> dict[PresetName, Plan | None]:
        """What each preset sets by itself, of the first model that has it."""
        manifest = self._known(panel.mode)
        found: dict[PresetName, Plan | None] = {}
        for preset in PRESETS:
            keys = (info.key for info in manifest.checkpoints if info.key in CHECKPOINTS and preset in info.presets)
            key = next(keys, None)
            found[preset] = panel.preview_plan(manifest, {"checkpoint": key, "preset": preset}) if key else None
        return found

    async def _save(self, mode: str, stored: object, *raw: Any) -> dict[Any, Any]:
        panel = self._panel(mode)
        (fast_steps, fast_cfg, steps, cfg, hybrid), choosing = raw[:5], raw[5:]
        models = self._models(panel)
        own = ModeDefaults(
            fast=_differing(models["fast"], "Fast", fast_steps, fast_cfg),
            quality=_differing(models["quality"], "Quality", steps, cfg),
            hybrid=hybrid is True and "hybrid" in panel.presets,
        )
        return await self._kept(panel, stored, own, choosing)

    async def _reset(self, mode: str, stored: object, *choosing: Any) -> dict[Any, Any]:
        return await self._kept(self._panel(mode), stored, NONE, choosing)

    async def _kept(
        self, panel: Panel, stored: object, own: ModeDefaults, choosing: tuple[Any, ...]
    ) -> dict[Any, Any]:
        kept = self.defaults.changed(stored, panel.mode.key, own)
        updates = self._shown(panel.mode.key, kept) | {self.defaults.stored: kept}
        return updates | await self._in_panel(panel.mode.key, own, choosing)

    async def _in_panel(self, mode: ModeKey, own: ModeDefaults, choosing: tuple[Any, ...]) -> dict[Any, Any]:
        """Updates of a mode's panel, whose model and preset are in `choosing`, where all panels' are."""
        panel, at = self.panels[mode], 2 * [*self.panels].index(mode)
        key, preset = choosing[at : at + 2]
        updates = await panel.preset_changed(key, preset, own)
        if "hybrid" in panel.presets and not own.hybrid:
            updates["hybrid"] = False
        return panel.inputs.shown(updates)

    def _panel(self, mode: object) -> Panel:
        found = next((panel for key, panel in self.panels.items() if key == mode), None)
        if found is None:
            raise InputError("mode", "must be one of " + ", ".join(self.panels))
        return found


def _differing(plan: Plan | None, name: str, steps: float | None, cfg: float | None) -> PresetDefaults:
    """What is not the models' own; InputError for what no plan takes."""
    if plan is None:
        return PresetDefaults()
    if steps is not None:
        if steps != int(steps):
            raise InputError(f"{name}: steps", "must be a whole number", got=steps)
        rules.between(f"{name}: steps", int(steps), 1, MAX_STEPS)
    if cfg is not None:
        rules.between(f"{name}: guidance", cfg, 0, rules.MAX_GUIDANCE)
    return PresetDefaults(
        num_inference_steps=None if steps in (None, plan.num_inference_steps) else int(steps),
        guidance_scale=None if cfg in (None, plan.guidance_scale) else cfg,
    )
