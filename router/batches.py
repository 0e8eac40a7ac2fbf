"""Batches as the page shows them: the clips of each mode's last one side by side, and what may be done with one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from html import escape
from typing import Any
from uuid import UUID, uuid5

import gradio as gr

from common.contract import Failed, ModeKey, Notice, Stage, Step
from common.modes.all import MODES
from common.panels.base import Panel, told
from common.panels.events import EACH, QUIET
from common.panels.texts import seconds
from common.run.book import Book, Entry
from common.run.drafts import MAY_CHANGE
from common.run.runner import VISITOR
from router.dispatch import Studio
from router.gallery.grid import address, attribute

ON_LOAD = "window.wanBatches.listen((said) => trigger('click', said));"
"""Tells the page what is to be done with which job; batches.js knows of which tile."""
SHOW = "(all) => { window.wanBatches.show(all); }"


class Batches:
    """Draws what carries the tiles to the page and its buttons back, and wires it.

    `visitor` holds the browser's secret. After `draw`, `data` is what a tick may fill with `tiles`.
    """

    def __init__(self, studio: Studio, panels: Mapping[ModeKey, Panel], visitor: gr.Textbox) -> None:
        self.studio, self.panels, self.visitor = studio, panels, visitor

    def draw(self) -> None:
        """One event for all modes: the tiles are told apart by their jobs."""
        self.data = gr.Textbox("", visible=False)
        self.went = gr.Textbox("", visible=False)
        self.hub = gr.HTML("", js_on_load=ON_LOAD, elem_classes="batch-hub")

    def wire(self, blocks: gr.Blocks) -> None:
        """Events; call it once the panels are drawn."""
        own, backs = "() => [window.wanVisitor()]", [panel.back for panel in self.panels.values()]
        blocks.load(self.shown, self.visitor, self.data, js=own, **QUIET)
        self.data.change(None, self.data, None, js=SHOW, **QUIET)
        clicked = self.hub.click(self.act, self.visitor, [self.data, self.went, *backs], js=own, **EACH)
        clicked.then(None, self.went, None, js="(preset) => window.wanBatches.preset(preset)", **QUIET)

    def shown(self, visitor: str) -> str:
        """The tiles of this browser's own batches."""
        return tiles(self.studio.book, self.studio.owner(visitor))

    async def act(self, request: gr.Request, visitor: str, event: gr.EventData) -> dict[Any, Any]:
        """Does what a tile's button says with a job of this visitor's; with anything else, nothing."""
        owner, what, job = self.studio.owner(visitor), told(event, "act"), told(event, "job")
        updates: dict[Any, Any] = {self.went: ""}
        entry = self.studio.book.entry(owner, job) if owner is not None and isinstance(job, str) else None
        if entry is not None and entry.batch and entry.mode in self.panels:
            if what == "show":
                updates |= self._back(entry.mode, entry.id)
            elif what == "better" and entry.aim is not None:
                headers = {**dict(request.headers), VISITOR: visitor}
                updates |= self._back(entry.mode, await self._better(entry, headers))
                updates[self.went] = str(entry.aim.get("preset") or "")
            elif what in ("cancel", "clear"):
                all_of = [one.id for one in self.studio.book.batch(entry.owner, entry.batch)]
                if what == "cancel":
                    self.studio.line.cancel(entry.owner, all_of)
                else:
                    self.studio.book.forget(entry.owner, all_of)
        return {**updates, self.data: tiles(self.studio.book, owner)}

    def _back(self, mode: ModeKey, job: str) -> dict[Any, Any]:
        return {self.panels[mode].back: f"{job} {time.monotonic()}"}  # said anew each time, as in the Queue

    async def _better(self, draft: Entry, headers: Mapping[str, str]) -> str:
        """The job that a draft stands for: the one that there is, or a new one where it ended badly."""
        assert draft.aim is not None
        if (known := better(self.studio.book, draft)) is not None:
            return known.id
        job = better_id(draft)
        if self.studio.book.entry(draft.owner, job) is not None:
            self.studio.book.forget(draft.owner, [job])
        await self.studio.runner(MODES[draft.mode]).enter(draft.aim, headers, job)
        self.studio.book.write(job, Notice(text=MAY_CHANGE, job=job))
        return job


def better_id(draft: Entry) -> str:
    """The id of the job that a draft stands for: asked for twice, it is one."""
    return str(uuid5(UUID(draft.id), "better"))


def better(book: Book, draft: Entry) -> Entry | None:
    """What a draft stands for, where that is under way or made."""
    entry = book.entry(draft.owner, better_id(draft)) if draft.aim is not None else None
    return entry if entry is not None and (entry.alive or entry.state == "done") else None


# ------------------------------------------------------------------ as HTML


def tiles(book: Book, owner: str | None) -> str:
    """JSON for batches.js: by mode the head of the newest batch, and its tiles' jobs and HTML in their order."""
    by_mode: dict[ModeKey, list[Entry]] = {}
    for entry in [] if owner is None else book.newest_batches(owner):
        by_mode.setdefault(entry.mode, []).append(entry)
    return json.dumps(
        {
            mode: {"head": _head(entries), "tiles": [[e.id, _tile(book, e)] for e in entries]}
            for mode, entries in by_mode.items()
        }
    )


def title(entries: list[Entry]) -> str:
    """What a batch is called: `4 drafts`, `6 variations`."""
    kind = "draft" if any(entry.aim is not None for entry in entries) else "variation"
    return f"{len(entries)} {kind}{'s' * (len(entries) > 1)}"


def summary(entries: list[Entry]) -> str:
    """How far a batch is: `1 runs · 2 wait · 1 done`."""
    words = {"running": "runs", "waiting": "wait", "done": "done", "failed": "failed", "cancelled": "stopped"}
    counted = [(sum(e.state == state for e in entries), word) for state, word in words.items()]
    return " · ".join(f"{count} {word}" for count, word in counted if count)


def _head(entries: list[Entry]) -> str:
    alive, done = any(e.alive for e in entries), sum(e.state == "done" for e in entries)
    buttons = _button("play", "▶ In step", "Play all from the beginning") if done > 1 else ""
    buttons += _button("cancel", "Cancel all") if alive else _button("clear", "Clear")
    return (
        f'<b>{title(entries)}</b><span class="dim" role="status">{summary(entries)}</span>'
        f'<span class="queue-tools">{buttons}</span>'
    )


def _tile(book: Book, entry: Entry) -> str:
    label, words = escape(entry.label), escape(_words(book, entry))
    name = attribute(f"Show {entry.label}")
    inside, tool = f'<span class="dim">{words}</span>', ""
    if entry.state == "done" and entry.video is not None:
        source = attribute(address(entry.video))
        inside = f'<video src="{source}" muted loop playsinline preload="metadata" tabindex="-1"></video>'
        if entry.aim is not None:
            made = better(book, entry) is not None
            best = "Quality" if entry.aim.get("preset") == "quality" else "full size"
            text = f"Show in {best}" if made else f"Make it in {best}"
            tool = _button("better", text, f"{text}: {entry.label}")
    waits = " disabled" if entry.state == "waiting" else ""
    return (
        f'<li class="tile {entry.state}" data-job="{entry.id}"><button type="button" class="look" data-batch="show" '
        f'aria-label="{name}"{waits}>{inside}</button><span class="said">{label}</span>'
        f"{_bar(book, entry)}{tool}</li>"
    )


def _button(name: str, text: str, label: str = "") -> str:
    told = f' aria-label="{attribute(label)}"' if label else ""
    return f'<button type="button" class="chip" data-batch="{name}"{told}>{escape(text)}</button>'


def _step(book: Book, entry: Entry) -> Step | Stage | None:
    return next((e for _, e in reversed(book.events(entry.id)) if isinstance(e, Step | Stage)), None)


def _words(book: Book, entry: Entry) -> str:
    match entry.state:
        case "running":
            step = _step(book, entry)
            if isinstance(step, Step):
                left = f", {seconds(step.eta_seconds)} left" if step.eta_seconds else ""
                return f"step {step.index} of {step.total}{left}"
            return step.text if isinstance(step, Stage) else "begins"
        case "failed":
            failed = next((e for _, e in reversed(book.events(entry.id)) if isinstance(e, Failed)), None)
            return f"{failed.title}: {failed.text}" if failed else "failed"
        case "waiting":
            return "waits"
        case "cancelled":
            return "stopped"
        case "done":
            return "done"


def _bar(book: Book, entry: Entry) -> str:
    step = _step(book, entry) if entry.state == "running" else None
    if not isinstance(step, Step):
        return ""
    return f'<span class="bar"><i style="width:{100 * step.index / max(step.total, 1):.0f}%"></i></span>'
